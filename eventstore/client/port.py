"""The event store as its callers see it; memory, SQL and gRPC implement it alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from eventstore.client.errors import EventStoreError
from eventstore.client.events import DEFAULT_STREAM, Event, NewEvent, StreamHead


@dataclass(frozen=True, kw_only=True)
class Append:
    """Events for one aggregate, appended all or none.

    `expected_version`: None = any, 0 = no event yet, n = exactly n.
    """

    events: Sequence[NewEvent]
    expected_version: int | None = None


@dataclass(frozen=True, kw_only=True)
class Appended:
    """Where the events of one append stand, in the order given."""

    versions: tuple[int, ...]
    positions: tuple[int, ...]


class EventStore(Protocol):
    """An append-only log of events.

    Every method raises `Unavailable` when the log can't be reached, `Overloaded` when it is busy.
    """

    def append(self, events: Sequence[NewEvent], expected_version: int | None = None) -> Appended:
        """Append events to one aggregate, all or none.

        Idempotent by event id: events that are all stored already with the same content (type,
        aggregate, data) answer with their original versions and positions, whatever the
        expected version says.

        Raises:
            InvalidEvent: malformed or too large, or the events are not of one aggregate.
            UnknownStream: the stream does not exist.
            VersionConflict: the aggregate is not at `expected_version`.
            TooManyEvents: the aggregate would have more events than one may have.
            EventIdConflict: one of the ids is stored with other content, or only some are stored.
        """
        ...

    def append_batch(self, appends: Sequence[Append]) -> list[Appended | EventStoreError]:
        """Many appends, each with an outcome of its own; those to one stream in the order given."""
        ...

    def read_aggregate(self, aggregate_id: str, from_version: int = 1) -> list[Event]:
        """The events of an aggregate by version; empty if there are none.

        A list: as long as one aggregate may become (`TooManyEvents`), or was before there was a
        bound.
        """
        ...

    def read_many(self, aggregates: Sequence[tuple[str, int]]) -> Iterator[Event]:
        """Events of many (aggregate id, from version), by aggregate in the order given."""
        ...

    def read_event(self, event_id: UUID) -> Event | None:
        """The event with this id."""
        ...

    def read_stream(
        self,
        from_position: int = 1,
        *,
        stream: str = DEFAULT_STREAM,
        limit: int | None = None,
        follow: bool = False,
    ) -> Iterator[Event]:
        """The events of a stream by position; with `follow`, live after the end, without end.

        Raises:
            UnknownStream: the stream does not exist.
        """
        ...

    def head(self, stream: str = DEFAULT_STREAM) -> StreamHead:
        """Where the stream stands.

        Raises:
            UnknownStream: the stream does not exist.
        """
        ...
