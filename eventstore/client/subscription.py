"""What a subscription is made of: a projector or a reactor, and where it keeps its checkpoint."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from eventstore.client.events import DEFAULT_STREAM, Event
from eventstore.client.models import Checkpoint, ParkedMessage
from eventstore.client.port import EventStore


class Projector(Protocol):
    """Keeps rows that are a fold of aggregates' events, version by version."""

    @property
    def aggregate_types(self) -> Collection[str]:
        """The types of aggregates it follows; every event of theirs concerns it."""
        ...

    def versions(self, aggregate_ids: Sequence[str]) -> Mapping[str, int]:
        """The version last applied of each aggregate that it has; read without locks."""
        ...

    def apply(self, events: Mapping[str, Sequence[Event]]) -> None:
        """Apply each aggregate's events, contiguous and in version order, in one transaction.

        Called inside a transaction on the subscription's database. Locks the rows in
        aggregate-id order and skips the versions that another worker applied meanwhile.
        """
        ...


@dataclass(frozen=True)
class Reactor:
    """Answers events, each by its type, in no particular order.

    `reactions`: event type -> function, called as `reaction(event, store=store)` with the event
    read from the log. It appends idempotently (its event ids come from the cause), so that it may
    run any number of times. Reactions to different aggregates are fibers of one thread: what takes
    long and is not gathered, they do `aside` (fibers.py).
    """

    reactions: Mapping[str, Callable[..., None]]


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """A durable, named interest in a stream; processes that share the name share the work.

    Args:
        name: of the durable consumer and the checkpoint.
        worker: of this process, for its log.
        handler: what is done with the events.
        store: where the events are read from; a message on the stream is a notice only.
        database: the alias of the database that checkpoint and parked messages live in.
    """

    name: str
    worker: str
    handler: Projector | Reactor
    store: EventStore
    database: str
    checkpoints: type[Checkpoint]
    parked: type[ParkedMessage]
    stream: str = DEFAULT_STREAM
