"""Between `OrderView` and its rows: loading under lock, and writing with the summaries' deltas."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from eventstore.client import RetryLater
from queries import bulk
from queries.messages import Item
from queries.models import CustomerSummary, OrderItemRow, OrderRow, RestaurantSummary
from queries.projections import OrderView, SummaryKey, contribution

_COLUMNS = [field.attname for field in OrderRow._meta.concrete_fields]
VIEW_COLUMNS = [name for name in _COLUMNS if name != "log_id"]
ITEM_COLUMNS = ["code", "name", "unit_price_minor", "quantity"]
SUMMARIES: dict[str, type[CustomerSummary] | type[RestaurantSummary]] = {
    "customer": CustomerSummary,
    "restaurant": RestaurantSummary,
}


class RowsMoved(RetryLater):
    """Another worker wrote the same orders at the same time; read them again."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or str(self.__doc__), delay_seconds=0.1)


def locked(order_ids: Collection[str]) -> dict[str, OrderView]:
    """The stored orders, without their items, locked in the order of their ids."""
    rows = OrderRow.objects.select_for_update().filter(order_id__in=order_ids)
    return {row[0]: OrderView(*row) for row in rows.order_by("order_id").values_list(*VIEW_COLUMNS)}


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
    if bulk.insert_absent(OrderRow, [_order_row(view, log_id) for view in new]) < len(new):
        raise RowsMoved
    bulk.insert_absent(OrderItemRow, [row for view in new for row in _item_rows(view)])
    changed = [after[order_id] for order_id in ids if order_id in before]
    bulk.update(OrderRow, [_order_row(view, log_id) for view in changed])
    add_to_summaries(deltas([(before.get(order_id), after[order_id]) for order_id in ids]))


def replace_items(views: Collection[OrderView]) -> None:
    """Write the items of stored orders anew."""
    OrderItemRow.objects.filter(order_id__in=[view.order_id for view in views]).delete()
    bulk.insert_absent(OrderItemRow, [row for view in views for row in _item_rows(view)])


def remove(views: Collection[OrderView]) -> None:
    """Delete stored orders, and take what they contributed out of the summaries."""
    ids = [view.order_id for view in views]
    OrderItemRow.objects.filter(order_id__in=ids).delete()
    # Raw: the items are gone, and the ORM would look for them again.
    rows = OrderRow.objects.filter(order_id__in=ids)
    rows._raw_delete(rows.db)
    add_to_summaries(deltas([(view, None) for view in views]))


def items_of(order_ids: Collection[str]) -> dict[str, tuple[Item, ...]]:
    """The items of orders, in line order; an order without items is absent."""
    found: defaultdict[str, list[Item]] = defaultdict(list)
    rows = OrderItemRow.objects.filter(order_id__in=order_ids).order_by("order_id", "line")
    for order_id, *item in rows.values_list("order_id", *ITEM_COLUMNS):
        found[order_id].append(Item(*item))
    return {order_id: tuple(items) for order_id, items in found.items()}


def deltas(
    changes: Sequence[tuple[OrderView | None, OrderView | None]],
) -> dict[SummaryKey, tuple[int, int]]:
    """How the summaries change when orders change: key -> (orders, amount), without zeros."""
    sums: defaultdict[SummaryKey, list[int]] = defaultdict(lambda: [0, 0])
    for old, new in changes:
        for sign, view in ((-1, old), (1, new)):
            for key, (orders, amount) in contribution(view).items():
                sums[key][0] += sign * orders
                sums[key][1] += sign * amount
    return {key: (orders, amount) for key, (orders, amount) in sums.items() if orders or amount}


def add_to_summaries(changes: Mapping[SummaryKey, tuple[int, int]]) -> None:
    """Add deltas to the stored summaries, in key order."""
    for kind, model in SUMMARIES.items():
        rows = [
            (uuid4(), key.key, key.day, key.status, key.currency, *changes[key])
            for key in sorted(changes)
            if key.kind == kind
        ]
        bulk.add(
            model,
            rows,
            key=[f"{kind}_id", "day", "status", "currency"],
            counters=["orders", "amount_minor"],
        )


def _order_row(view: OrderView, log_id: UUID) -> tuple[Any, ...]:
    return (*(getattr(view, name) for name in VIEW_COLUMNS), log_id)


def _item_rows(view: OrderView) -> list[tuple[Any, ...]]:
    return [
        (view.order_id, line, item.code, item.name, item.unit_price_minor, item.quantity)
        for line, item in enumerate(view.items, start=1)
    ]
