"""Compares the query models with the log, page by page, and puts right what differs.

Safe while workers run: rows are compared with the fold of the log up to the row's own version, and
repaired under the workers' locks. `rebuild` is a repair that writes every row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from uuid import UUID

from eventstore.client import Event, EventStore
from queries import rows
from queries.locking import committed_under_locks
from queries.messages import AGGREGATE_TYPE
from queries.models import Checkpoint, OrderRow, ParkedMessage
from queries.projections import OrderView, fold_readable

PAGE = 200
STREAM_PAGE = 5_000
RACES = 20


@dataclass(frozen=True)
class Difference:
    """An order whose row is not what its events say, and in which fields."""

    order_id: str
    what: str


@dataclass(frozen=True)
class Checked:
    """One page done: how many orders it had, what differed, up to where it went."""

    orders: int
    differences: list[Difference]
    position: int = 0
    last_order: str = ""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """One run over the query models of a subscription.

    Args:
        store: the log.
        subscription: whose checkpoint says which events must be in the rows.
        repair: put right what differs.
        every: with `repair`, write rows that seem right too.
    """

    store: EventStore
    subscription: str
    repair: bool = False
    every: bool = False

    def missing(self, from_position: int = 1) -> Iterator[Checked]:
        """Walk the log: orders without a row that should have one."""
        head, position = self.store.head(), max(from_position, 1)
        applied = self._applied(head.log_id)
        last = head.position if self.repair else min(head.position, applied)
        while position <= last:
            upto = min(position + STREAM_PAGE - 1, last)
            events = self.store.read_stream(position, limit=upto - position + 1)
            ids = {event.aggregate_id for event in events if event.aggregate_type == AGGREGATE_TYPE}
            absent = sorted(ids - _stored(ids))
            found = [
                found
                for start in range(0, len(absent), PAGE)
                for found in self._checked(absent[start : start + PAGE], head.log_id, applied)
            ]
            yield Checked(len(ids), found, position=upto)
            position = upto + 1

    def different(self, after: str = "") -> Iterator[Checked]:
        """Walk the rows by order id: those that are not the fold of their events."""
        head = self.store.head()
        while ids := list(
            OrderRow.objects.filter(order_id__gt=after)
            .order_by("order_id")
            .values_list("order_id", flat=True)[:PAGE]
        ):
            found = self._checked(ids, head.log_id, self._applied(head.log_id))
            after = ids[-1]
            yield Checked(len(ids), found, last_order=after)

    def _checked(self, ids: Sequence[str], log_id: UUID, applied: int) -> list[Difference]:
        if self.repair and self.every:
            return self._repaired(ids, log_id)
        differences = self._compared(ids, log_id, applied)
        if self.repair and differences:
            self._repaired([difference.order_id for difference in differences], log_id)
        return differences

    def _compared(self, ids: Sequence[str], log_id: UUID, applied: int) -> list[Difference]:
        """Rows first, then their events: the log never has less than a row."""
        logs = dict(OrderRow.objects.filter(order_id__in=ids).values_list("order_id", "log_id"))
        stored = _with_items(_views(ids))
        histories = _histories(self.store, ids)
        parked = _parked(self.subscription, ids)
        found = []
        for order_id in ids:
            row, events = stored.get(order_id), histories.get(order_id, [])
            required = [event for event in events if event.position <= applied]
            if (row is None or row.version < len(required)) and order_id not in parked:
                expected = fold_readable(required)
            else:
                expected = fold_readable(events[: row.version]) if row else None
            what = _difference(row, expected)
            if not what and row and logs.get(order_id) not in (log_id, None):
                what = "log_id"
            if what:
                found.append(Difference(order_id, what))
        return found

    def _repaired(self, ids: Sequence[str], log_id: UUID) -> list[Difference]:
        """Make rows the fold of their whole history; which of them differed."""
        for attempt in range(1, RACES + 1):
            try:
                return committed_under_locks(lambda: self._rewritten(ids, log_id))
            except rows.RowsMoved:
                if attempt == RACES:
                    raise
        raise AssertionError("unreachable")

    def _rewritten(self, ids: Sequence[str], log_id: UUID) -> list[Difference]:
        # Locked before the log is read: no worker can get past what is read then.
        stored = rows.locked(ids)
        full = _with_items(stored)
        views = {
            order_id: view
            for order_id, events in _histories(self.store, ids).items()
            if (view := fold_readable(events))
        }
        rows.write(stored, views, log_id)
        rows.replace_items([views[order_id] for order_id in views if order_id in stored])
        rows.remove([stored[order_id] for order_id in stored if order_id not in views])
        return [
            Difference(order_id, what)
            for order_id in ids
            if (what := _difference(full.get(order_id), views.get(order_id)))
        ]

    def _applied(self, log_id: UUID) -> int:
        checkpoint = Checkpoint.objects.filter(subscription=self.subscription).first()
        return checkpoint.position if checkpoint and checkpoint.log_id == log_id else 0


def _stored(ids: set[str]) -> set[str]:
    found: set[str] = set()
    ordered = sorted(ids)
    for start in range(0, len(ordered), PAGE):
        page = OrderRow.objects.filter(order_id__in=ordered[start : start + PAGE])
        found.update(page.values_list("order_id", flat=True))
    return found


def _views(ids: Sequence[str]) -> dict[str, OrderView]:
    found = OrderRow.objects.filter(order_id__in=ids).values_list(*rows.VIEW_COLUMNS)
    return {row[0]: OrderView(*row) for row in found}


def _with_items(views: dict[str, OrderView]) -> dict[str, OrderView]:
    items = rows.items_of(views)
    return {key: replace(view, items=items.get(key, ())) for key, view in views.items()}


def _histories(store: EventStore, ids: Sequence[str]) -> dict[str, list[Event]]:
    events = store.read_many([(order_id, 1) for order_id in ids])
    of_orders = (event for event in events if event.aggregate_type == AGGREGATE_TYPE)
    return {
        order_id: list(history)
        for order_id, history in groupby(of_orders, key=attrgetter("aggregate_id"))
    }


def _parked(subscription: str, ids: Sequence[str]) -> set[str]:
    state = ParkedMessage.State
    found = ParkedMessage.objects.filter(
        subscription=subscription,
        aggregate_id__in=ids,
        state__in=[state.FAILING, state.PARKED, state.RETRY, state.DISCARDED],
    )
    return set(found.values_list("aggregate_id", flat=True))


def _difference(row: OrderView | None, expected: OrderView | None) -> str:
    """In which fields the row is wrong, in words; empty if it is right."""
    if row == expected:
        return ""
    if row is None or expected is None:
        return "no row" if row is None else "no such order in the log"
    names = [name for name in vars(row) if getattr(row, name) != getattr(expected, name)]
    return ", ".join(names)
