"""The event store on SQL, the only writer of event rows."""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from uuid import UUID, uuid4

from eventstore import statements
from eventstore.client.appending import MAX_EVENTS_PER_AGGREGATE
from eventstore.client.batching import Batcher
from eventstore.client.errors import EventStoreError, InvalidEvent, UnknownStream
from eventstore.client.events import DEFAULT_STREAM, Event, NewEvent, StreamHead
from eventstore.client.port import Append, Appended
from eventstore.client.validation import (
    append_bytes,
    is_stream_name,
    validate,
    validate_aggregate_id,
    validate_batch,
)
from eventstore.commits import Commits, Hook
from eventstore.committing import Outcomes, StreamCommitter
from eventstore.page_size import PageSize
from eventstore.transactions import LogDatabase

# A batch holds 4 MiB or some thousand events; eight of them may wait, each no longer than this.
EVENT_WEIGHT = 1024
BATCH_WEIGHT = 4 * 1024 * 1024
WAITING_WEIGHT = 8 * BATCH_WEIGHT
PATIENCE_SECONDS = 5.0
FOLLOW_POLL_SECONDS = 0.25
AGGREGATES_PER_QUERY = 100

logger = logging.getLogger(__name__)

Committer = Batcher[Sequence[Append], Outcomes]


class SqlEventStore:
    """An `EventStore` over the tables of `models.py`; safe to share between threads.

    Args:
        alias: of the database.
        on_commit: see `Commits`.
        aggregate_events: that an aggregate may have.
    """

    def __init__(
        self,
        alias: str = "eventstore",
        *,
        on_commit: Collection[Hook] = (),
        aggregate_events: int = MAX_EVENTS_PER_AGGREGATE,
    ) -> None:
        self.database = LogDatabase(alias)
        self.commits = Commits(on_commit)
        self._aggregate_events = aggregate_events
        self._committers: dict[str, Committer] = {}

    def append(self, events: Sequence[NewEvent], expected_version: int | None = None) -> Appended:
        """See `EventStore.append`."""
        (outcome,) = self.append_batch([Append(events=events, expected_version=expected_version)])
        if isinstance(outcome, EventStoreError):
            raise outcome
        return outcome

    def append_batch(self, appends: Sequence[Append]) -> list[Appended | EventStoreError]:
        """See `EventStore.append_batch`; those to one stream are one part of one transaction.

        Raises:
            Unavailable, Overloaded: a stream's transaction failed; those of other streams may
                have been committed. The whole batch may be repeated.
        """
        validate_batch(appends)
        outcomes: dict[int, Appended | EventStoreError] = {}
        by_stream: defaultdict[str, list[int]] = defaultdict(list)
        for place, append in enumerate(appends):
            try:
                validate(append)
            except InvalidEvent as refusal:
                outcomes[place] = refusal
            else:
                by_stream[append.events[0].stream].append(place)
        for stream, places in by_stream.items():
            try:
                decided = self._append_to(stream, [appends[place] for place in places])
            except UnknownStream as refusal:
                decided = [refusal] * len(places)
            outcomes.update(zip(places, decided, strict=True))
        return [outcomes[place] for place in range(len(appends))]

    def _append_to(
        self, stream: str, appends: Sequence[Append]
    ) -> Sequence[Appended | EventStoreError]:
        weight = sum(EVENT_WEIGHT * len(append.events) + append_bytes(append) for append in appends)
        return self._committer(stream).do(appends, weight)

    def _committer(self, stream: str) -> "Committer":
        """The one gatherer of what this process appends to the stream at the same time."""
        found = self._committers.get(stream)
        if found is None:
            # Only a stream that exists gets one, so that there are not more of them than streams.
            self.head(stream)
            committer = StreamCommitter(
                stream, self.database, self.commits, aggregate_events=self._aggregate_events
            )
            found = self._committers.setdefault(
                stream,
                Batcher(
                    committer.commit,
                    batch_weight=BATCH_WEIGHT,
                    waiting_weight=WAITING_WEIGHT,
                    patience_seconds=PATIENCE_SECONDS,
                ),
            )
        return found

    def create_stream(self, name: str) -> StreamHead:
        """The head of the stream, which is created empty unless it is there.

        Raises:
            InvalidEvent: a stream can't have this name.
        """
        if not is_stream_name(name):
            raise InvalidEvent(f"no name for a stream: {name!r}")
        self.database.commit(partial(statements.create_stream, stream=name, log_id=uuid4()))
        return self.head(name)

    def head(self, stream: str = DEFAULT_STREAM) -> StreamHead:
        """See `EventStore.head`."""
        found = is_stream_name(stream) and self.database.read(
            partial(statements.head, stream=stream)
        )
        if not found:
            raise UnknownStream
        return found

    def read_event(self, event_id: UUID) -> Event | None:
        """See `EventStore.read_event`."""
        return self.database.read(partial(statements.event_under, event_id=event_id))

    def read_aggregate(self, aggregate_id: str, from_version: int = 1) -> list[Event]:
        """See `EventStore.read_aggregate`."""
        return list(self.read_many([(aggregate_id, from_version)]))

    def read_many(self, aggregates: Sequence[tuple[str, int]]) -> Iterator[Event]:
        """See `EventStore.read_many`; holds a page at a time."""
        for aggregate_id, _ in aggregates:
            validate_aggregate_id(aggregate_id)
        return self._walk_aggregates(aggregates)

    def _walk_aggregates(self, aggregates: Sequence[tuple[str, int]]) -> Iterator[Event]:
        size = PageSize()
        for start in range(0, len(aggregates), AGGREGATES_PER_QUERY):
            wanted = list(aggregates[start : start + AGGREGATES_PER_QUERY])
            while wanted:
                limit = size.events
                page = self.database.read(
                    partial(statements.page_of_aggregates, aggregates=wanted, limit=limit)
                )
                events = [event for _, event in page]
                yield from events
                if len(page) < limit:
                    break
                place, last = page[-1]
                wanted = [(last.aggregate_id, last.version + 1), *wanted[place + 1 :]]
                size.learn(events)

    def read_stream(
        self,
        from_position: int = 1,
        *,
        stream: str = DEFAULT_STREAM,
        limit: int | None = None,
        follow: bool = False,
    ) -> Iterator[Event]:
        """See `EventStore.read_stream`; holds a page at a time, and nothing between pages."""
        self.head(stream)
        return self._walk_stream(stream, max(from_position, 1), limit, follow)

    def _walk_stream(
        self, stream: str, position: int, limit: int | None, follow: bool
    ) -> Iterator[Event]:
        size = PageSize()
        end = None if limit is None else position + limit
        while end is None or position < end:
            commits = self.commits.count
            wanted = size.events if end is None else min(size.events, end - position)
            page = self.database.read(
                partial(
                    statements.page_of_stream, stream=stream, from_position=position, limit=wanted
                )
            )
            yield from page
            position += len(page)
            size.learn(page)
            if len(page) < wanted:
                if not follow:
                    return
                self.commits.wait_beyond(commits, FOLLOW_POLL_SECONDS)
