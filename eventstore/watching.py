"""Watches the log while it is served: whether its database answers, and what is appended."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence

from eventstore.client.errors import EventStoreError
from eventstore.client.events import Event, StreamHead
from eventstore.store import SqlEventStore

PROBE_SECONDS = 1.0
# A database that stands still answers no probe at all, so silence counts as well as an error.
SILENCE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 5.0

logger = logging.getLogger(__name__)


class DatabaseWatch:
    """Creates the streams as soon as the database answers, then looks at it every second.

    In a thread of its own, since a call to a database that stands still takes as long as that.
    """

    def __init__(self, store: SqlEventStore, streams: Sequence[str]) -> None:
        self._store = store
        self._streams = streams
        self._created = False
        self.looked = False
        self._answered_at = float("-inf")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="database-watch", daemon=True)

    def start(self) -> None:
        """Begin to look; returns at once."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 1.0) -> None:
        """Look no more."""
        self._stopping.set()
        self._thread.join(timeout_seconds)

    @property
    def answers(self) -> bool:
        """Whether the database has answered lately."""
        return time.monotonic() - self._answered_at < SILENCE_SECONDS

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            failures = 0 if self._probe() else failures + 1
            self.looked = True
            self._stopping.wait(min(PROBE_SECONDS * max(failures, 1), LONGEST_PAUSE_SECONDS))
        self._store.database.close_own()

    def _probe(self) -> bool:
        try:
            if self._created:
                self._store.head(self._streams[0])
            else:
                for head in [self._store.create_stream(stream) for stream in self._streams]:
                    _introduce(head)
                self._created = True
        except EventStoreError:
            self._answered_at = float("-inf")
            return False
        except Exception:
            logger.exception("the database answers, but not as it should")
            self._answered_at = float("-inf")
            return False
        self._answered_at = time.monotonic()
        return True


def _introduce(head: StreamHead) -> None:
    logger.info("stream %s is at position %d, log %s", head.stream, head.position, head.log_id)


class Activity:
    """Counts commits, and says every few seconds what happened, if something did."""

    def __init__(self, every_seconds: float = 10.0) -> None:
        self._every = every_seconds
        self._since = time.monotonic()
        self._commits: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        self._positions: dict[str, int] = {}
        self._lock = threading.Lock()

    def committed(self, events: Sequence[Event]) -> None:
        """A commit added these events."""
        stream, position = events[-1].stream, events[-1].position
        with self._lock:
            self._commits[stream] += 1
            self._events[stream] += len(events)
            self._positions[stream] = max(position, self._positions.get(stream, 0))

    def lines(self, now: float) -> list[str]:
        """What happened since the last lines; empty while it is not yet time, or nothing did."""
        if now - self._since < self._every:
            return []
        with self._lock:
            seconds, self._since = now - self._since, now
            commits, self._commits = self._commits, Counter()
            events, self._events = self._events, Counter()
        return [
            f"{stream} at {self._positions[stream]}: {events[stream]} events "
            f"in {commits[stream]} commits, {events[stream] / seconds:.1f} events/s"
            for stream in sorted(commits)
        ]
