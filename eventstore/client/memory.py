"""The event store in memory: for tests of what stands on it, and the contract suite's yardstick."""

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

from eventstore.client.appending import MAX_EVENTS_PER_AGGREGATE, AggregateTip, plan
from eventstore.client.errors import EventStoreError, UnknownStream
from eventstore.client.events import DEFAULT_STREAM, Event, NewEvent, StreamHead
from eventstore.client.hashing import GENESIS
from eventstore.client.port import Append, Appended
from eventstore.client.validation import (
    validate,
    validate_aggregate_id,
    validate_batch,
)

FOLLOW_POLL_SECONDS = 0.1


class InMemoryEventStore:
    """An `EventStore` that forgets everything with the process; safe to share between threads.

    Args:
        aggregate_events: that an aggregate may have.
    """

    def __init__(
        self,
        streams: Sequence[str] = (DEFAULT_STREAM,),
        *,
        aggregate_events: int = MAX_EVENTS_PER_AGGREGATE,
    ) -> None:
        self._aggregate_events = aggregate_events
        self._committed = threading.Condition()
        self._heads = {
            name: StreamHead(stream=name, log_id=uuid4(), position=0, hash=GENESIS)
            for name in streams
        }
        self._streams: dict[str, list[Event]] = {name: [] for name in streams}
        self._by_id: dict[UUID, Event] = {}
        self._by_aggregate: dict[str, list[Event]] = {}

    def append(self, events: Sequence[NewEvent], expected_version: int | None = None) -> Appended:
        (outcome,) = self.append_batch([Append(events=events, expected_version=expected_version)])
        if isinstance(outcome, EventStoreError):
            raise outcome
        return outcome

    def append_batch(self, appends: Sequence[Append]) -> list[Appended | EventStoreError]:
        validate_batch(appends)
        with self._committed:
            outcomes = [self._append_one(append) for append in appends]
            self._committed.notify_all()
        return outcomes

    def _append_one(self, append: Append) -> Appended | EventStoreError:
        try:
            validate(append)
            head = self.head(append.events[0].stream)
        except EventStoreError as refusal:
            return refusal
        ids = [event.event_id for event in append.events]
        decided = plan(
            [append],
            stored={id_: self._by_id[id_] for id_ in ids if id_ in self._by_id},
            tips=self._tips(append.events[0].aggregate_id),
            head=head,
            now=datetime.now(UTC),
            most=self._aggregate_events,
        )
        self._heads[head.stream] = decided.head
        for event in decided.events:
            self._streams[event.stream].append(event)
            self._by_id[event.event_id] = event
            self._by_aggregate.setdefault(event.aggregate_id, []).append(event)
        return decided.outcomes[0]

    def _tips(self, aggregate_id: str) -> dict[str, AggregateTip]:
        events = self._by_aggregate.get(aggregate_id)
        if not events:
            return {}
        last = events[-1]
        return {aggregate_id: AggregateTip(last.stream, last.aggregate_type, last.version)}

    def read_aggregate(self, aggregate_id: str, from_version: int = 1) -> list[Event]:
        validate_aggregate_id(aggregate_id)
        with self._committed:
            return self._by_aggregate.get(aggregate_id, [])[max(from_version, 1) - 1 :]

    def read_many(self, aggregates: Sequence[tuple[str, int]]) -> Iterator[Event]:
        for aggregate_id, from_version in aggregates:
            yield from self.read_aggregate(aggregate_id, from_version)

    def read_event(self, event_id: UUID) -> Event | None:
        return self._by_id.get(event_id)

    def read_stream(
        self,
        from_position: int = 1,
        *,
        stream: str = DEFAULT_STREAM,
        limit: int | None = None,
        follow: bool = False,
    ) -> Iterator[Event]:
        self.head(stream)
        return self._walk(self._streams[stream], max(from_position, 1), limit, follow)

    def _walk(
        self, events: list[Event], position: int, limit: int | None, follow: bool
    ) -> Iterator[Event]:
        while limit is None or limit > 0:
            with self._committed:
                if follow and len(events) < position:
                    self._committed.wait(FOLLOW_POLL_SECONDS)
                    continue
                if len(events) < position:
                    return
                event = events[position - 1]
            yield event
            position += 1
            limit = limit - 1 if limit is not None else None

    def head(self, stream: str = DEFAULT_STREAM) -> StreamHead:
        try:
            return self._heads[stream]
        except KeyError:
            raise UnknownStream from None
