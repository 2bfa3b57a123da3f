"""Handlers that remember what they were given, for tests of the subscriber runtime."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from eventstore.client import Event, EventStore

Hook = Callable[[Event], None]


def nothing(event: Event) -> None:
    """The hook that lets all pass."""


class Ledger:
    """A projector in memory, shared by several workers as a table would be.

    `before` is called with each event before it is applied, outside the lock, and may raise.
    """

    aggregate_types = frozenset({"order"})

    def __init__(self, before: Hook = nothing) -> None:
        self.before = before
        self.applied: dict[str, int] = {}
        self.calls = 0
        self.effects: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()

    def versions(self, aggregate_ids: Sequence[str]) -> Mapping[str, int]:
        with self._lock:
            return {id_: self.applied[id_] for id_ in aggregate_ids if id_ in self.applied}

    def apply(self, events: Mapping[str, Sequence[Event]]) -> None:
        self.calls += 1
        for history in events.values():
            for event in history:
                self.before(event)
        with self._lock:
            for id_, history in events.items():
                for event in history:
                    self._apply(id_, event)

    def _apply(self, aggregate_id: str, event: Event) -> None:
        at = self.applied.get(aggregate_id, 0)
        if event.version <= at:
            return
        assert event.version == at + 1, f"{aggregate_id}: {event.version} after {at}"
        self.applied[aggregate_id] = event.version
        self.effects[(aggregate_id, event.version)] += 1


class Reactions:
    """A reaction that counts its events; `before` may raise."""

    def __init__(self, before: Hook = nothing) -> None:
        self.before = before
        self.seen: list[Event] = []

    def __call__(self, event: Event, *, store: EventStore) -> None:
        self.before(event)
        self.seen.append(event)

    @property
    def versions(self) -> list[tuple[str, int]]:
        return [(event.aggregate_id, event.version) for event in self.seen]


class Failing:
    """A hook that raises for events that are chosen, until it is mended."""

    def __init__(self, error: Exception, chosen: Callable[[Event], bool]) -> None:
        self.error = error
        self.chosen = chosen
        self.mended = False
        self.raised = 0

    def __call__(self, event: Event) -> None:
        if not self.mended and self.chosen(event):
            self.raised += 1
            raise self.error
