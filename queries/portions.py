"""The log in portions, and what each order's events in a portion come to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from eventstore.client import Event, EventStore
from queries.messages import AGGREGATE_TYPE
from queries.projections import UNREADABLE, OrderView, apply

# One transaction; so many events of usual size, fewer large ones.
PORTION_EVENTS = 5_000
PORTION_CHARACTERS = 8 * 1024 * 1024
# Of the data that remembered orders were folded from.
REMEMBERED_CHARACTERS = 8 * 1024 * 1024


@dataclass(slots=True)
class Part:
    """Some of an order's events, one after the other, from the version `first` to `last`.

    If it is known what they go on from, they are folded as they come, so that no more than a row
    is kept of them; else they are kept, until that is known.

    Args:
        before: the fold of the events before `first`, where it is known and there are any.
    """

    first: int
    before: OrderView | None = None
    folded: OrderView | None = None
    last: int = 0
    characters: int = 0
    events: list[Event] = field(default_factory=list)
    readable: bool = True

    def add(self, event: Event) -> None:
        """The order's next event; what follows one that can't be read is no part of the row."""
        self.last = event.version
        self.characters += len(event.data)
        if self.first > 1 and self.before is None:
            self.events.append(event)
        elif self.readable:
            try:
                self.folded = apply(self.folded, event)
            except UNREADABLE:
                self.readable = False


@dataclass(frozen=True)
class Portion:
    """The log up to a position from where the last portion ended, by order."""

    position: int
    parts: Mapping[str, Part]

    @property
    def begun(self) -> int | None:
        """How many orders' lives begin in it; None if that can't be told, since what came first
        of one made no order.
        """
        beginnings = [part.folded for part in self.parts.values() if part.first == 1]
        return None if None in beginnings else len(beginnings)


class Remembered:
    """The orders that the last portions ended with, so that the next one can go on from them.

    Those that nothing came of for the longest time are forgotten first.
    """

    def __init__(self) -> None:
        self._views: dict[str, tuple[OrderView, int]] = {}
        self._characters = 0

    def part(self, event: Event) -> Part:
        """An empty part that begins with the event."""
        view, characters = self._views.pop(event.aggregate_id, (None, 0))
        self._characters -= characters
        if view is None or view.version != event.version - 1:
            return Part(event.version)
        return Part(event.version, view, view, characters=characters)

    def keep(self, parts: Mapping[str, Part]) -> None:
        """Remember the folds of these parts."""
        for order_id, part in parts.items():
            if part.folded is not None and part.readable:
                self._views[order_id] = part.folded, part.characters
                self._characters += part.characters
        while self._characters > REMEMBERED_CHARACTERS:
            _, characters = self._views.pop(next(iter(self._views)))
            self._characters -= characters


def portions(store: EventStore, position: int, end: int) -> Iterator[Portion]:
    """The log from a position to another."""
    remembered = Remembered()
    parts: dict[str, Part] = {}
    events = characters = 0
    log = store.read_stream(position, limit=max(0, end - position + 1))
    for event in log:
        if event.aggregate_type == AGGREGATE_TYPE:
            part = parts.get(event.aggregate_id)
            if part is None:
                part = parts[event.aggregate_id] = remembered.part(event)
            part.add(event)
        events += 1
        characters += len(event.data) + len(event.metadata)
        position = event.position
        if events >= PORTION_EVENTS or characters >= PORTION_CHARACTERS:
            remembered.keep(parts)
            yield Portion(position, parts)
            parts, events, characters = {}, 0, 0
    if events:
        yield Portion(position, parts)
