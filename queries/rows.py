"""Between `OrderView` and its rows: loading under lock, and writing with the summaries' deltas."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any
from uuid import UUID

from eventstore.client import RetryLater
from queries import bulk
from queries.messages import Item
from queries.models import CustomerSummary, OrderItemRow, OrderRow, RestaurantSummary
from queries.projections import OrderView, SummaryKey, contribution

VIEW_COLUMNS = OrderView._fields[:-1]
ITEM_COLUMNS = Item._fields
SUMMARY_COUNTERS = ("orders", "amount_minor")
SUMMARIES: dict[str, type[CustomerSummary] | type[RestaurantSummary]] = {
    "customer": CustomerSummary,
    "restaurant": RestaurantSummary,
}


class RowsMoved(RetryLater):
    """Another worker wrote the same orders at the same time; read them again."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or str(self.__doc__), delay_seconds=0.1)


_OF_ORDERS = f"FROM {OrderRow._meta.db_table} WHERE order_id = ANY(%b)"
_VERSIONS = f"SELECT order_id, version {_OF_ORDERS}"
_STORED = f"SELECT {', '.join(VIEW_COLUMNS)} {_OF_ORDERS}"
_LOCKED = f"{_STORED} ORDER BY order_id FOR UPDATE"
_ITEMS = f"""
SELECT order_id, line, {", ".join(ITEM_COLUMNS)} FROM {OrderItemRow._meta.db_table}
WHERE order_id = ANY(%b) ORDER BY order_id, line
"""  # noqa: S608
_DELETE_ITEMS = f"DELETE FROM {OrderItemRow._meta.db_table} WHERE order_id = ANY(%b)"  # noqa: S608


def versions(order_ids: Collection[str]) -> dict[str, int]:
    """The version last applied of each stored order; read without locks."""
    return dict(bulk.on_orders(_VERSIONS, order_ids))


def stored(order_ids: Collection[str]) -> dict[str, OrderView]:
    """The stored orders, without their items, read without locks."""
    return {row[0]: OrderView(*row) for row in bulk.on_orders(_STORED, order_ids)}


def locked(order_ids: Collection[str]) -> dict[str, OrderView]:
    """The stored orders, without their items, locked in the order of their ids."""
    return {row[0]: OrderView(*row) for row in bulk.on_orders(_LOCKED, order_ids)}


def write(before: Mapping[str, OrderView], after: Mapping[str, OrderView], log_id: UUID) -> None:
    """Store orders and what they change in the summaries, in the caller's transaction.

    Rows are taken in key order, new orders after locked ones and summaries after orders, so that
    workers can wait for each other but never in a circle.

    Args:
        before: as `locked` gave them, in the same transaction.
        after: the orders as they are to be.

    Raises:
        RowsMoved: an order that `before` lacks is stored by now.
    """
    ids = sorted(after)
    new = [after[order_id] for order_id in ids if order_id not in before]
    changed = [after[order_id] for order_id in ids if order_id in before]
    items = [row for view in new for row in _item_rows(view)]
    inserted, *_ = bulk.written(
        [
            bulk.insert_absent(OrderRow, [_order_row(view, log_id) for view in new]),
            bulk.insert_absent(OrderItemRow, items),
            bulk.overwrite(OrderRow, [_order_row(view, log_id) for view in changed]),
            *_added(deltas([(before.get(order_id), after[order_id]) for order_id in ids])),
        ]
    )
    if inserted < len(new):
        raise RowsMoved


def write_anew(
    before: Mapping[str, OrderView], after: Mapping[str, OrderView], log_id: UUID
) -> None:
    """`write`, even if somebody emptied the orders' table by hand and left their items behind."""
    bulk.on_orders(_DELETE_ITEMS, after.keys() - before.keys())
    write(before, after, log_id)


def unlike_items(views: Collection[OrderView]) -> set[str]:
    """Which of these orders, all of them stored, are stored with other items."""
    ordered = sorted(views, key=itemgetter(0))
    expected = [row for view in ordered for row in _item_rows(view)]
    found = bulk.on_orders(_ITEMS, [view.order_id for view in ordered])
    # The database may order ids in another way.
    return set() if found == expected else {row[0] for row in set(found) ^ set(expected)}


def replace_items(views: Collection[OrderView]) -> None:
    """Write the items of stored orders anew."""
    bulk.on_orders(_DELETE_ITEMS, [view.order_id for view in views])
    items = [row for view in views for row in _item_rows(view)]
    bulk.written([bulk.insert_absent(OrderItemRow, items)])


def remove(views: Collection[OrderView]) -> None:
    """Delete stored orders, and take what they contributed out of the summaries."""
    ids = [view.order_id for view in views]
    bulk.on_orders(_DELETE_ITEMS, ids)
    # Raw: the items are gone, and the ORM would look for them again.
    rows = OrderRow.objects.filter(order_id__in=ids)
    rows._raw_delete(rows.db)
    bulk.written(_added(deltas([(view, None) for view in views])))


def items_of(order_ids: Collection[str]) -> dict[str, tuple[Item, ...]]:
    """The items of orders, in line order; an order without items is absent."""
    found: defaultdict[str, list[Item]] = defaultdict(list)
    for order_id, _, *item in bulk.on_orders(_ITEMS, order_ids):
        found[order_id].append(Item(*item))
    return {order_id: tuple(items) for order_id, items in found.items()}


def with_items(views: Mapping[str, OrderView]) -> dict[str, OrderView]:
    """Stored orders with their items."""
    items = items_of(views)
    return {key: view.with_changes({"items": items.get(key, ())}) for key, view in views.items()}


def deltas(
    changes: Sequence[tuple[OrderView | None, OrderView | None]],
) -> dict[SummaryKey, tuple[int, int]]:
    """How the summaries change when orders change: key -> (orders, amount), without zeros."""
    # By what their keys are made of: an order of each kind, how many more, and their amount.
    alike: dict[tuple[Any, ...], tuple[OrderView, list[int]]] = {}
    for old, new in changes:
        if old and new and _contributes(old) == _contributes(new):
            continue
        for sign, view in ((-1, old), (1, new)):
            if view is not None:
                _, more = alike.setdefault(_contributes(view)[:-1], (view, [0, 0]))
                more[0] += sign
                more[1] += sign * view.amount_minor
    sums: defaultdict[SummaryKey, list[int]] = defaultdict(lambda: [0, 0])
    for view, (orders, amount) in alike.values():
        for key in contribution(view):
            sums[key][0] += orders
            sums[key][1] += amount
    return {key: (orders, amount) for key, (orders, amount) in sums.items() if orders or amount}


def summary_key(kind: str) -> tuple[str, ...]:
    """The columns that tell one summary of a kind from another, as in `SummaryKey`."""
    return (f"{kind}_id", *SummaryKey._fields[2:])


def _added(changes: Mapping[SummaryKey, tuple[int, int]]) -> list[bulk.Write]:
    """Deltas on their way to the stored summaries, in key order."""
    ordered = sorted(changes)
    return [
        bulk.add(
            model,
            [(*key[1:], *changes[key]) for key in ordered if key.kind == kind],
            key=summary_key(kind),
            counters=SUMMARY_COUNTERS,
        )
        for kind, model in SUMMARIES.items()
    ]


def _contributes(view: OrderView) -> tuple[Any, ...]:
    """What `contribution` is made of, the amount last."""
    owners = (view.customer_id, view.restaurant_id)
    return (*owners, view.created_on.date(), view.status, view.currency, view.amount_minor)


def _order_row(view: OrderView, log_id: UUID) -> tuple[Any, ...]:
    return (*view[:-1], log_id)


def _item_rows(view: OrderView) -> list[tuple[Any, ...]]:
    return [(view.order_id, line, *item) for line, item in enumerate(view.items, start=1)]
