"""How far the query models are behind the log, found out at most once a second per process."""

import threading
import time
from dataclasses import dataclass
from datetime import datetime

from eventstore.client import EventStore, StreamHead, TransientError
from queries.models import Checkpoint

CACHE_SECONDS = 1.0
# A log that does not answer is asked less often: asking may take as long as the client's timeout.
AWAY_SECONDS = 5.0


class CachedHead:
    """The head of the log, at most a second old."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._head: StreamHead | None = None
        self._until = 0.0

    def get(self) -> StreamHead:
        """The head; raises as `EventStore.head`."""
        if self._head is None or time.monotonic() >= self._until:
            self._head = self._store.head()
            self._until = time.monotonic() + CACHE_SECONDS
        return self._head


@dataclass(frozen=True)
class Behind:
    """How many events the query models lack, and when the last one they have was recorded.

    None: not known at the moment, because the log is away, or nothing was applied yet.
    """

    events: int | None
    as_of: datetime | None


UNKNOWN = Behind(None, None)


class Freshness:
    """`Behind`, shared by the threads of a process: one asks, the others take the last answer."""

    def __init__(self, subscription: str) -> None:
        self._subscription = subscription
        self._asking = threading.Lock()
        self._store: EventStore | None = None
        self._last = UNKNOWN
        self._until = 0.0

    def get(self, store: EventStore) -> Behind:
        """At most a second old; does not raise when the log is away."""
        due = store is not self._store or time.monotonic() >= self._until
        if due and self._asking.acquire(blocking=False):
            try:
                self._last, valid = self._ask(store)
                self._store, self._until = store, time.monotonic() + valid
            finally:
                self._asking.release()
        return self._last

    def _ask(self, store: EventStore) -> tuple[Behind, float]:
        # The checkpoint first: the log only grows, so the difference can't be negative.
        checkpoint = Checkpoint.objects.filter(subscription=self._subscription).first()
        try:
            head = store.head()
            if checkpoint is None or checkpoint.log_id != head.log_id:
                return Behind(head.position, None), CACHE_SECONDS
            behind = max(0, head.position - checkpoint.position)
            return Behind(behind, _recorded_at(store, checkpoint.position)), CACHE_SECONDS
        except TransientError:
            return Behind(None, self._last.as_of), AWAY_SECONDS


def _recorded_at(store: EventStore, position: int) -> datetime | None:
    if position == 0:
        return None
    return next((event.recorded_at for event in store.read_stream(position, limit=1)), None)
