"""Puts orders' rows right: makes them the fold of their whole history."""

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple, TypeVar
from uuid import UUID

from eventstore.client import Event, EventStore
from queries import rows
from queries.locking import committed_under_locks
from queries.messages import AGGREGATE_TYPE
from queries.projections import OrderView, fold_readable

# How many orders' histories are held at a time.
PAGE = 200
RACES = 20

Result = TypeVar("Result")


class Difference(NamedTuple):
    """An order whose row is not what its events say, and in which fields."""

    order_id: str
    what: str


def repaired(store: EventStore, ids: Sequence[str], log_id: UUID) -> list[Difference]:
    """Put at most `PAGE` orders right in a transaction of its own; which of them differed.

    Raises:
        RowsMoved: as `through_races`.
    """
    return through_races(lambda: _rewritten(store, ids, log_id))


def through_races(work: Callable[[], Result]) -> Result:
    """`committed_under_locks`, again when a worker wrote the same orders meanwhile.

    Raises:
        RowsMoved: that happened over and over.
    """
    for _ in range(RACES):
        try:
            return committed_under_locks(work)
        except rows.RowsMoved:
            continue
    return committed_under_locks(work)


def _rewritten(store: EventStore, ids: Sequence[str], log_id: UUID) -> list[Difference]:
    # Locked before the log is read: no worker can get past what is read then.
    stored = rows.locked(ids)
    full = rows.with_items(stored)
    views = {
        order_id: view
        for order_id, events in histories(store, ids).items()
        if (view := fold_readable(events))
    }
    rows.write_anew(stored, views, log_id)
    rows.replace_items(
        [
            views[order_id]
            for order_id in stored
            if order_id in views and full[order_id].items != views[order_id].items
        ]
    )
    rows.remove([stored[order_id] for order_id in stored if order_id not in views])
    return [
        Difference(order_id, what)
        for order_id in ids
        if (what := difference(full.get(order_id), views.get(order_id)))
    ]


def histories(store: EventStore, ids: Sequence[str]) -> dict[str, list[Event]]:
    """The events of orders; what is no order is absent."""
    events = store.read_many([(order_id, 1) for order_id in ids])
    of_orders = (event for event in events if event.aggregate_type == AGGREGATE_TYPE)
    return {
        order_id: list(history)
        for order_id, history in groupby(of_orders, key=attrgetter("aggregate_id"))
    }


def difference(row: OrderView | None, expected: OrderView | None) -> str:
    """In which fields the row is wrong, in words; empty if it is right."""
    if row == expected:
        return ""
    if row is None or expected is None:
        return "no row" if row is None else "no such order in the log"
    names = [name for name in row._fields if getattr(row, name) != getattr(expected, name)]
    return ", ".join(names)
