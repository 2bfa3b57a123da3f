"""Writes the query models anew from the log, in place and in one pass, while readers and workers
go on; may be killed at any moment and gone on with.

The pass goes by position. When it has reached a position, every row that is no further than that
is the fold of the order's events up to there: so a row that stands just before an order's next
event is taken on, and any other is compared with its events. Then the rows that the log does not
have are found, and the summaries are added up.
"""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from eventstore.client import Event, EventStore
from queries import rows, summaries
from queries.messages import AGGREGATE_TYPE
from queries.models import OrderRow
from queries.progress import Progress, resume_options
from queries.projections import UNREADABLE, OrderView, apply, fold_readable
from queries.reading_ahead import read_ahead
from queries.repairing import PAGE, Difference, difference, repaired, through_races

# One transaction; so many events of usual size, fewer large ones.
CHUNK_EVENTS = 5_000
CHUNK_CHARACTERS = 8 * 1024 * 1024
ROWS_PAGE = 1_000
COLLECT_AFTER = 100_000

# How far a row is: order id, version, position, and the log that these count in.
Standing = tuple[str, int, int, UUID]


@dataclass
class Part:
    """Some of an order's events, one after the other, from the version `first` to `last`.

    If they begin its life they are folded as they come, so that no more than a row is kept of
    them; else they are kept, until it is known what they go on from.
    """

    first: int
    last: int = 0
    folded: OrderView | None = None
    events: list[Event] = field(default_factory=list)
    _readable: bool = True

    def add(self, event: Event) -> None:
        """The order's next event; what follows one that can't be read is no part of the row."""
        self.last = event.version
        if self.first > 1:
            self.events.append(event)
        elif self._readable:
            try:
                self.folded = apply(self.folded, event)
            except UNREADABLE:
                self._readable = False


@dataclass(frozen=True)
class Chunk:
    """The log up to a position from where the last chunk ended, by order."""

    position: int
    parts: Mapping[str, Part]


@dataclass
class Rebuild:
    """One rebuild of all query models.

    Args:
        store: the log.
        say: takes a line for the person at the terminal.
        from_position, from_order: where to go on; they move as parts are done.
    """

    store: EventStore
    say: Callable[[str], object]
    from_position: int = 1
    from_order: str = ""
    _progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        self._progress = Progress(self.say)

    def run(self) -> int:
        """Rebuild; how many orders and summaries were not what the log says."""
        head = self.store.head()
        # Rows that the pass itself or a worker makes are in the log.
        strays = self.from_position > 1 or bool(self.from_order) or OrderRow.objects.exists()
        if not strays:
            self._progress.most_named = 0  # that there are no rows is known
        with _collecting_seldom():
            self._pass(head.log_id, head.position)
            if strays:
                self._remove_strays(head.log_id)
        for day in summaries.check(repair=True):
            self._progress.day(day)
        self.say(f"rebuilt, {self._progress.differences:,} differences put right")
        return self._progress.differences

    @property
    def resume(self) -> str:
        """The options that go on from here."""
        return resume_options(self.from_position, self.from_order)

    def _pass(self, log_id: UUID, end: int) -> None:
        self._progress.begin(self.from_position, end)
        for chunk in read_ahead(_chunks(self.store, self.from_position, end)):
            differences, doubtful = through_races(partial(_apply, chunk.parts, log_id, end))
            differences += self._repaired(doubtful, log_id)
            self.from_position = chunk.position + 1
            self._progress.differ(differences)
            self._progress.reached(chunk.position)

    def _remove_strays(self, log_id: UUID) -> None:
        """Walk the rows for those that the pass never came to, since the log has no such event."""
        looked_up = 0
        for page, known in read_ahead(_looked_up(self.store, self.from_order)):
            differences = self._repaired([row[0] for row in page if row[0] not in known], log_id)
            adopted = [row[0] for row in page if row[0] in known and row[3] != log_id]
            OrderRow.objects.filter(order_id__in=adopted).update(log_id=log_id)
            differences += [Difference(order_id, "log_id") for order_id in adopted]
            looked_up += len(page)
            self.from_order = page[-1][0]
            self._progress.differ(differences)
            self._progress.line(f"{looked_up:,} orders looked up in the log")

    def _repaired(self, order_ids: Sequence[str], log_id: UUID) -> list[Difference]:
        return [
            difference
            for start in range(0, len(order_ids), PAGE)
            for difference in repaired(self.store, order_ids[start : start + PAGE], log_id)
        ]


def _chunks(store: EventStore, position: int, end: int) -> Iterator[Chunk]:
    parts: dict[str, Part] = {}
    events = characters = 0
    for event in store.read_stream(position, limit=max(0, end - position + 1)):
        if event.aggregate_type == AGGREGATE_TYPE:
            part = parts.get(event.aggregate_id)
            if part is None:
                part = parts[event.aggregate_id] = Part(event.version)
            part.add(event)
        events += 1
        characters += len(event.data) + len(event.metadata)
        position = event.position
        if events >= CHUNK_EVENTS or characters >= CHUNK_CHARACTERS:
            yield Chunk(position, parts)
            parts, events, characters = {}, 0, 0
    if events:
        yield Chunk(position, parts)


def _apply(parts: Mapping[str, Part], log_id: UUID, end: int) -> tuple[list[Difference], list[str]]:
    """Bring rows up to a chunk of the log, in the caller's transaction.

    Returns:
        What was not as it should have been, and the orders that only their whole history can tell
        about.
    """
    before = rows.stored(parts)
    full = rows.with_items({id_: row for id_, row in before.items() if parts[id_].folded})
    after: dict[str, OrderView] = {}
    differences: list[Difference] = []
    doubtful: list[str] = []
    for order_id, part in parts.items():
        row = full.get(order_id) or before.get(order_id)
        view = _brought_up(row, part, end)
        if view is None:
            doubtful.append(order_id)
        elif view != row:
            after[order_id] = view
            if part.folded:
                differences.append(Difference(order_id, difference(row, view)))
    _write(before, after, log_id)
    rows.replace_items(
        [after[id_] for id_, row in full.items() if id_ in after and after[id_].items != row.items]
    )
    return differences, doubtful


def _brought_up(row: OrderView | None, part: Part, end: int) -> OrderView | None:
    """The row as it is to be after this part; None if only the whole history can tell."""
    if row and row.version > part.last and row.position <= end:
        return row  # its own position is still to come
    if part.folded and not (row and row.version > part.folded.version):
        return part.folded
    if row and row.version == part.first - 1:
        return fold_readable(part.events, row)
    return None


def _write(before: Mapping[str, OrderView], after: Mapping[str, OrderView], log_id: UUID) -> None:
    """Lock only what changes, and write it if it is still what it was."""
    changed = after.keys() & before.keys()
    locked = rows.locked(changed)
    if any(locked.get(order_id) != before[order_id] for order_id in changed):
        raise rows.RowsMoved
    rows.write_anew(locked, after, log_id)


def _looked_up(store: EventStore, after: str) -> Iterator[tuple[list[Standing], set[str]]]:
    """The rows by order id, a page at a time, and which of them stand at an event of theirs."""
    found = OrderRow.objects.order_by("order_id")
    columns = found.values_list("order_id", "version", "position", "log_id")
    while page := list(columns.filter(order_id__gt=after)[:ROWS_PAGE]):
        stands = {order_id: (version, position) for order_id, version, position, _ in page}
        events = store.read_many([(order_id, version) for order_id, version, _, _ in page])
        known = {
            event.aggregate_id
            for event in events
            if (event.version, event.position) == stands[event.aggregate_id]
            and event.aggregate_type == AGGREGATE_TYPE
        }
        yield page, known
        after = page[-1][0]


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Look for cycles of garbage seldom: a chunk is many objects and no cycle."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
