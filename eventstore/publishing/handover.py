"""Committed events on their way to the publisher of the same process, which need not read them."""

import threading
from collections import deque
from collections.abc import Sequence

from eventstore.client.events import Event

MAX_EVENTS = 4_000
MAX_CHARACTERS = 16 * 1024 * 1024


class Handover:
    """The newest committed events of one stream, without gaps; safe to share between threads.

    What does not fit, or does not follow on what is here, is left to be read from the log.
    """

    def __init__(self) -> None:
        self.newest = 0
        self._events: deque[Event] = deque()
        self._characters = 0
        self._lock = threading.Lock()

    def offer(self, events: Sequence[Event]) -> None:
        """Hand over what one commit added."""
        with self._lock:
            if events[0].position != self.newest + 1:
                self._clear()
            self._events.extend(events)
            self._characters += sum(len(event.data) for event in events)
            self.newest = events[-1].position
            if len(self._events) > MAX_EVENTS or self._characters > MAX_CHARACTERS:
                self._clear()

    def take(self, after: int, most: int) -> list[Event]:
        """The events that follow on this position, as far as they are here."""
        taken: list[Event] = []
        with self._lock:
            while self._events and self._events[0].position <= after + len(taken) + 1:
                if len(taken) == most:
                    break
                event = self._events.popleft()
                self._characters -= len(event.data)
                if event.position > after:
                    taken.append(event)
        return taken

    def _clear(self) -> None:
        self._events.clear()
        self._characters = 0
