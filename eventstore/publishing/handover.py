"""Committed events on their way to the publisher of the same process, which need not read them."""

import threading
from collections import deque
from collections.abc import Sequence

from eventstore.client.events import Event, NewEvent
from eventstore.client.hashing import event_hash
from eventstore.publishing.facts import LogReplaced

MAX_EVENTS = 4_000
MAX_CHARACTERS = 16 * 1024 * 1024
_HASHED = (*NewEvent.__dataclass_fields__, "version", "position", "recorded_at")


class Handover:
    """The newest committed events of one stream, without gaps; safe to share between threads.

    What does not fit, or does not follow on what is here, is left to be read from the log. That it
    follows is told by its hash: where a failover lost the log's end, positions are taken again.
    """

    def __init__(self) -> None:
        self._newest: Event | None = None
        self._events: deque[Event] = deque()
        self._characters = 0
        # The event that was taken last, if what is here goes on from it.
        self._taken_id = ""
        self._lock = threading.Lock()

    @property
    def newest(self) -> int:
        """The position of the event that was offered last."""
        return self._newest.position if self._newest else 0

    def offer(self, events: Sequence[Event]) -> None:
        """Hand over what one commit added."""
        with self._lock:
            if not self._goes_on_with(events[0]):
                self._clear()
            self._events.extend(events)
            self._characters += sum(len(event.data) for event in events)
            self._newest = events[-1]
            if len(self._events) > MAX_EVENTS or self._characters > MAX_CHARACTERS:
                self._clear()

    def take(self, after: int, event_id: str, most: int) -> list[Event]:
        """The events that follow on this position, as far as they are here.

        Args:
            event_id: of the event at the position; empty: it is not looked at.

        Raises:
            LogReplaced: another event was committed at the position.
        """
        taken: list[Event] = []
        with self._lock:
            follow = event_id in ("", self._taken_id)
            while self._events and self._events[0].position <= after + len(taken) + 1:
                event = self._events[0]
                if len(taken) == most or (event.position > after and not follow):
                    break
                self._events.popleft()
                self._characters -= len(event.data)
                if event.position > after:
                    taken.append(event)
                elif event.position == after and event_id:
                    follow = str(event.event_id) == event_id
                    if not follow:
                        raise LogReplaced(f"another event was committed at {after}")
            if taken:
                self._taken_id = str(taken[-1].event_id)
        return taken

    def _goes_on_with(self, event: Event) -> bool:
        last = self._newest
        if last is None or event.position != last.position + 1:
            return False
        fields = {name: getattr(event, name) for name in _HASHED}
        return event_hash(last.hash, **fields) == event.hash

    def _clear(self) -> None:
        self._events.clear()
        self._characters = 0
        self._taken_id = ""
