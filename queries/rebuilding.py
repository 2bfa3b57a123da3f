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
from typing import NamedTuple
from uuid import UUID

from eventstore.client import EventStore
from queries import rows, strays, summaries
from queries.models import OrderItemRow, OrderRow
from queries.portions import Part, Portion, portions
from queries.progress import Progress, resume_options
from queries.projections import OrderView, fold_readable
from queries.reading_ahead import read_ahead
from queries.repairing import PAGE, Difference, difference, repaired, through_races

COLLECT_AFTER = 100_000
# So many rows that are further on than the pass are kept in mind; with more, every row's event is
# looked up at the end.
MOST_AHEAD = 50_000


class Done(NamedTuple):
    """What came of a portion: what was not as it should have been, the orders that only their
    whole history can tell about, and those whose row says that it stands at an event to come.
    """

    differences: list[Difference]
    doubtful: list[str]
    ahead: list[str]


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
    # That there are no rows but those of this rebuild.
    _alone: bool = False
    # How many orders have begun; None if not all of them were counted.
    _begun: int | None = None
    _ahead: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._progress = Progress(self.say)

    def run(self) -> int:
        """Rebuild; how many orders and summaries were not what the log says."""
        head = self.store.head()
        if self.from_position == 1 and not self.from_order:
            self._begun = 0
            # Items may be left of orders that somebody deleted by hand.
            self._alone = not (OrderRow.objects.exists() or OrderItemRow.objects.exists())
        # Rows that the pass itself or a worker makes are in the log.
        no_strays = self._alone
        if no_strays:
            self._progress.most_named = 0  # that there are no rows is known
        with _collecting_seldom():
            self._pass(head.log_id, head.position)
            # Where they said that they stand the log has no such event, or a worker took them on.
            self._progress.differ(self._repaired(sorted(self._ahead), head.log_id))
            if not no_strays and not strays.none(head, self._begun):
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
        for portion in read_ahead(portions(self.store, self.from_position, end)):
            done = through_races(partial(self._bring_up, portion, log_id, end))
            self._progress.differ(done.differences + self._repaired(done.doubtful, log_id))
            self._count(portion, done.ahead)
            self.from_position = portion.position + 1
            self._progress.reached(portion.position)

    def _bring_up(self, portion: Portion, log_id: UUID, end: int) -> Done:
        """`_apply`, without a look at orders that nobody else can have stored before.

        A worker may all the same, if there is one. Then the transaction is run again, and from
        there on this and every other one looks.
        """
        alone, self._alone = self._alone, False
        done = _apply(portion, log_id, end, alone=alone)
        self._alone = alone
        return done

    def _count(self, portion: Portion, ahead: Sequence[str]) -> None:
        """Count the orders, and keep in mind whose rows say that they are further on."""
        if self._begun is None:
            return
        begun = portion.begun
        self._ahead -= portion.parts.keys()
        self._ahead.update(ahead)
        if begun is None or len(self._ahead) > MOST_AHEAD:
            self._begun = None
            self._ahead.clear()  # They will be looked up with all others.
        else:
            self._begun += begun

    def _remove_strays(self, log_id: UUID) -> None:
        """Walk the rows for those that the pass never came to, since the log has no such event."""
        looked_up = 0
        for page, known in read_ahead(strays.looked_up(self.store, self.from_order)):
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


def _apply(portion: Portion, log_id: UUID, end: int, *, alone: bool) -> Done:
    """Bring rows up to a portion of the log, in the caller's transaction.

    Args:
        alone: an order that begins in this portion has no row yet.

    Raises:
        RowsMoved, IntegrityError: somebody stored one of the orders all the same, or meanwhile.
    """
    parts = portion.parts
    before = rows.stored([id_ for id_, part in parts.items() if part.first > 1 or not alone])
    after: dict[str, OrderView] = {}
    compared: dict[str, OrderView] = {}
    done = Done([], [], [])
    for order_id, part in parts.items():
        row = before.get(order_id)
        if row and row.version > part.last and portion.position < row.position <= end:
            done.ahead.append(order_id)
            continue
        view = _brought_up(row, part)
        if view is None:
            done.doubtful.append(order_id)
        elif row is None:
            after[order_id] = view
            done.differences.append(Difference(order_id, difference(None, view)))
        elif part.first > 1 and row.version == part.first - 1:
            if view[:-1] != row[:-1]:
                after[order_id] = view
        else:
            compared[order_id] = view
    otherwise = rows.unlike_items(compared.values())
    for order_id, view in compared.items():
        if words := _difference(before[order_id], view, order_id in otherwise):
            after[order_id] = view
            done.differences.append(Difference(order_id, words))
    _write(before, after, log_id, alone=alone)
    rows.replace_items([compared[order_id] for order_id in otherwise])
    return done


def _brought_up(row: OrderView | None, part: Part) -> OrderView | None:
    """The row as it is to be after this part; None if only the whole history can tell."""
    if part.folded and not (row and row.version > part.folded.version):
        return part.folded
    if row and row.version == part.first - 1:
        return fold_readable(part.events, row)
    return None


def _difference(row: OrderView, view: OrderView, items_differ: bool) -> str:
    """In which fields a row, which comes without its items, is wrong; empty if it is right."""
    if row[:-1] == view[:-1]:
        return "items" if items_differ else ""
    words = difference(row.with_changes({"items": view.items}), view)
    return f"{words}, items" if items_differ else words


def _write(
    before: Mapping[str, OrderView], after: Mapping[str, OrderView], log_id: UUID, *, alone: bool
) -> None:
    """Lock only what changes, and write it if it is still what it was."""
    changed = after.keys() & before.keys()
    locked = rows.locked(changed)
    if any(locked.get(order_id) != before[order_id] for order_id in changed):
        raise rows.RowsMoved
    if alone:
        rows.write(locked, after, log_id)
    else:
        rows.write_anew(locked, after, log_id)


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Look for cycles of garbage seldom: a chunk is many objects and no cycle."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
