"""An event store that has an aggregate's history at hand already."""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from uuid import UUID

from eventstore.client.errors import EventStoreError
from eventstore.client.events import DEFAULT_STREAM, Event, NewEvent, StreamHead
from eventstore.client.fibers import aside
from eventstore.client.port import Append, Appended, EventStore

FRESH_SECONDS = 1.0


class PrefetchedEventStore:
    """Answers the first read of one aggregate from what was read before, the rest from the store.

    A history that is out of date by then does no harm that a slow caller would not do as well: a
    guarded append conflicts, and what is read after that is fresh. Yet a caller that had to wait
    for its turn should not act on what is long past, so a history is kept for a moment only.

    Args:
        history: all events of the aggregate, by version.
        read_at: when they were read, on the monotonic clock.
    """

    def __init__(self, store: EventStore, history: list[Event], read_at: float) -> None:
        self._store = store
        self._history: list[Event] | None = history
        self._fresh_until = read_at + FRESH_SECONDS

    def read_aggregate(self, aggregate_id: str, from_version: int = 1) -> list[Event]:
        """See `EventStore.read_aggregate`."""
        history, self._history = self._history, None
        fresh = time.monotonic() < self._fresh_until
        if fresh and history and history[0].aggregate_id == aggregate_id:
            return history[max(from_version, 1) - 1 :]
        return aside(partial(self._store.read_aggregate, aggregate_id, from_version))

    def append(self, events: Sequence[NewEvent], expected_version: int | None = None) -> Appended:
        """See `EventStore.append`."""
        self._history = None
        return self._store.append(events, expected_version)

    def append_batch(self, appends: Sequence[Append]) -> list[Appended | EventStoreError]:
        """See `EventStore.append_batch`."""
        self._history = None
        return self._store.append_batch(appends)

    def read_many(self, aggregates: Sequence[tuple[str, int]]) -> Iterator[Event]:
        """See `EventStore.read_many`."""
        return self._store.read_many(aggregates)

    def read_event(self, event_id: UUID) -> Event | None:
        """See `EventStore.read_event`."""
        return self._store.read_event(event_id)

    def read_stream(
        self,
        from_position: int = 1,
        *,
        stream: str = DEFAULT_STREAM,
        limit: int | None = None,
        follow: bool = False,
    ) -> Iterator[Event]:
        """See `EventStore.read_stream`."""
        return self._store.read_stream(from_position, stream=stream, limit=limit, follow=follow)

    def head(self, stream: str = DEFAULT_STREAM) -> StreamHead:
        """See `EventStore.head`."""
        return self._store.head(stream)
