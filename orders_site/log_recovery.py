"""Recovering from an event store database that was restored to an older point: the log, NATS and
every context, in an order in which any step may be interrupted.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from django.conf import settings

from eventstore.backup import recovery
from eventstore.backup.lost_events import Lost, report_lost
from eventstore.backup.recovery import Ahead, Follower, Situation, Unfinished
from eventstore.backup.restoring import restorable, restore
from eventstore.backup.stream_copy import Extent, StreamCopy
from eventstore.client.errors import EventStoreError, TransientError
from eventstore.client.events import DEFAULT_STREAM, StreamHead, to_json
from eventstore.client.models import Checkpoint
from eventstore.client.remote import RemoteEventStore
from eventstore.client.subscribing.recovering import Recovered, Reset
from eventstore.client.tls import Tls
from eventstore.integrity.audit import streams_of
from eventstore.integrity.signing import Signer
from eventstore.store import SqlEventStore
from orders_site.ordering import models as ordering_models
from orders_site.ordering.recovery import recover as recover_ordering
from payments import models as payments_models
from payments.recovery import recover as recover_payments
from queries import models as queries_models
from queries.recovery import recover as recover_queries
from restaurant import models as restaurant_models
from restaurant.recovery import recover as recover_restaurant

Say = Callable[[str], object]
Recover = Callable[[Recovered], Iterator[Reset | int]]
CHECKPOINTS: Sequence[type[Checkpoint]] = (
    ordering_models.Checkpoint,
    payments_models.Checkpoint,
    restaurant_models.Checkpoint,
    queries_models.Checkpoint,
)
CONTEXTS: dict[str, Recover] = {
    "ordering": recover_ordering,
    "payments": recover_payments,
    "restaurant": recover_restaurant,
}
MOST_SHOWN = 50
ANSWER_SECONDS = 2.0


class CannotRecover(Exception):
    """Why not, in words for the operator."""


@dataclass(frozen=True)
class Seen:
    """How everything stands at some moment."""

    head: StreamHead
    extent: Extent | None
    situation: Situation


class LogRecovery:
    """One run over one stream.

    Args:
        copy: what NATS has of it.
        folder: where reports are written.
        say: takes a line for the person at the terminal.
    """

    def __init__(
        self, store: SqlEventStore, stream: str, copy: StreamCopy, folder: Path, say: Say
    ) -> None:
        self._store = store
        self._stream = stream
        self._copy = copy
        self._folder = folder
        self._say = say

    def look(self) -> Seen:
        """How things stand now.

        Raises:
            CannotRecover: something still runs.
        """
        head = self._store.head(self._stream)
        past = recovery.past_recoveries(self._store, self._stream)
        known = [str(head.log_id), *(str(id_) for each in past for id_ in each.before)]
        extent = self._copy.compare(head, self._ids, known)
        if extent is not None and (busy := self._copy.busy_consumers()):
            raise CannotRecover(f"{', '.join(busy)} still runs; stop all subscribers first")
        return Seen(head, extent, recovery.assess(head, past, extent, self._followers()))

    def restorable(self, seen: Seen, signer: Signer | None) -> int:
        """Up to where NATS can give back what the log lost; the head's position if it can't.

        Raises:
            NotRestorable: what it has is not what was signed.
        """
        head, extent, situation = seen.head, seen.extent, seen.situation
        ahead = isinstance(situation, Ahead) and situation.kept == head.position
        if extent is None or not (ahead and extent.ahead):
            return head.position
        lines = signer.file(self._stream).lines() if signer else iter(())
        return restorable(self._copy, extent, head, lines)

    def restore(self, seen: Seen, told: Callable[[int], object]) -> StreamHead:
        """Put back what NATS has; the head then, under the id that a log with all of it has."""
        assert seen.extent is not None
        head = restore(self._store.database, self._copy, seen.extent, seen.head, told)
        if head.position == seen.extent.last and str(head.log_id) != seen.extent.log_id:
            head = recovery.take_id(self._store.database, head, UUID(seen.extent.log_id))
        return head

    def report_lost(self, seen: Seen, kept: int) -> tuple[Lost, Path]:
        """Write down what is lost; in the file of an earlier run if NATS has it no more."""
        path = self._folder / f"lost-events-{self._stream}-{kept}.jsonl"
        extent = seen.extent
        if extent is None or (extent.log_id == str(seen.head.log_id) and not extent.ahead):
            return Lost(0, None), path
        return report_lost(self._store.database, self._copy, extent, kept, path), path

    def go_on(self, seen: Seen, signer: Signer | None) -> StreamHead:
        """Give the log its new id, unless it has it, and sign that; the head then."""
        situation = seen.situation
        assert isinstance(situation, Ahead | Unfinished)
        head = seen.head
        if isinstance(situation, Ahead):
            head = recovery.go_on(self._store.database, head, situation.before, situation.kept)
            self._say(f"the log goes on as {head.log_id} from position {situation.kept} on")
        if signer is not None:
            signer.sign_recovery(head, kept=situation.kept)
        return head

    def reset_contexts(self, before: frozenset[UUID], kept: int, oldest: int | None) -> None:
        """Make every context's rows what the log says, and have its subscriptions go back."""
        if self._stream != DEFAULT_STREAM:
            # Their rows count positions of that stream, and would all pass for lost by this one's.
            self._say(f"no row is reset: all contexts follow {DEFAULT_STREAM}")
            return
        head = self._store.head(self._stream)
        recovered = Recovered(
            store=self._store,
            stream=self._stream,
            log_id=head.log_id,
            before=before,
            kept=kept,
            rewind=self._rewind(kept, oldest),
        )
        path = self._folder / f"reset-rows-{self._stream}-{kept}.jsonl"
        self._folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
            for name, recover in CONTEXTS.items():
                self._reset(name, recover(recovered), file.write)
        differences = recover_queries(recovered, lambda line: self._say(f"queries: {line}"))
        self._say(f"queries: written anew, {differences:,} rows and summaries were different")
        self._say(f"what was reset is listed in {path}")

    def drop_stream(self, seen: Seen, head: StreamHead) -> None:
        """Delete the stream of the log as it was; the publisher makes the new one."""
        if seen.extent is not None and seen.extent.log_id != str(head.log_id):
            self._copy.drop()
            self._say(f"the NATS stream {self._stream} is deleted; the publisher fills a new one")

    def _reset(
        self, name: str, steps: Iterator[Reset | int], write: Callable[[str], object]
    ) -> None:
        rows = resets = 0
        for step in steps:
            if isinstance(step, int):
                rows += step
                continue
            resets += 1
            write(
                to_json({"context": name, "order_id": step.aggregate_id, "what": step.what}) + "\n"
            )
            if resets <= MOST_SHOWN:
                self._say(f"{name}: order {step.aggregate_id}: {step.what}")
        self._say(f"{name}: {rows:,} rows looked at, {resets:,} of them told of")

    def _rewind(self, kept: int, oldest: int | None) -> int:
        last = next(self._store.read_stream(kept, stream=self._stream, limit=1), None)
        if kept == 0 or last is None:
            return 0
        margin = recovery.margin_position(self._store.database, self._stream, last)
        return min(kept, margin - 1, *([] if oldest is None else [oldest - 1]))

    def _followers(self) -> list[Follower]:
        """All subscriptions but those of other streams."""
        if self._stream != DEFAULT_STREAM:
            return []
        others = {
            self._store.head(name).log_id
            for name in streams_of(self._store.database)
            if name != self._stream
        }
        return [
            Follower(row.subscription, row.log_id, row.position)
            for checkpoints in CHECKPOINTS
            for row in checkpoints._default_manager.all()
            if row.log_id not in others
        ]

    def _ids(self, first: int, last: int) -> dict[int, UUID]:
        events = self._store.read_stream(first, stream=self._stream, limit=last - first + 1)
        return {event.position: event.event_id for event in events}


def refuse_if_served(stream: str) -> None:
    """Raise CannotRecover if an event store answers: through it everybody works on the log."""
    store = RemoteEventStore(settings.EVENTSTORE_ADDRESS, ANSWER_SECONDS, tls=Tls.from_settings())
    try:
        store.head(stream)
    except (EventStoreError, TransientError):
        return
    finally:
        store.close()
    raise CannotRecover(
        "the event store still runs; stop everything but the databases and NATS first"
    )
