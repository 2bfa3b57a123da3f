"""What the admin and the API read of the query models."""

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from typing import Any

from django.db.models import Sum

from queries import rows
from queries.models import Checkpoint, CustomerSummary, OrderRow, RestaurantSummary
from queries.projections import OrderView

MAX_ROWS = 1_000


def order(order_id: str) -> OrderView | None:
    """An order with its items."""
    return next(iter(orders([order_id])), None)


def version(order_id: str) -> int:
    """The version last applied of an order; 0 if the query model does not have it."""
    found = OrderRow.objects.filter(order_id=order_id).values_list("version", flat=True)[:1]
    return next(iter(found), 0)


def orders(order_ids: Collection[str]) -> list[OrderView]:
    """Orders with their items, in no particular order; unknown ones are left out."""
    return with_items(list(OrderRow.objects.filter(order_id__in=order_ids)))


def orders_of_customer(customer_id: str, limit: int = 50) -> list[OrderView]:
    """A customer's newest orders."""
    found = OrderRow.objects.filter(customer_id=customer_id)
    return with_items(list(found.order_by("-created_on", "-order_id")[: min(limit, MAX_ROWS)]))


def with_items(found: Sequence[OrderRow]) -> list[OrderView]:
    """Rows as views, with their items, in the order given."""
    items = rows.items_of([row.order_id for row in found])
    return [
        OrderView(
            **{name: getattr(row, name) for name in rows.VIEW_COLUMNS},
            items=items.get(row.order_id, ()),
        )
        for row in found
    ]


def counts_by_status(since: date) -> dict[str, int]:
    """How many of the orders created since a day (UTC) are in each status now."""
    found = RestaurantSummary.objects.filter(day__gte=since).values("status")
    return {
        row["status"]: row["total"]
        for row in found.annotate(total=Sum("orders")).order_by("status")
        if row["total"]
    }


def customer_summaries(today: date, days: int = 7, limit: int = 100) -> list[dict[str, Any]]:
    """The summaries of customers over the last days, newest first, without the empty ones."""
    return _summaries(CustomerSummary, "customer_id", today, days, limit)


def restaurant_summaries(today: date, days: int = 7, limit: int = 100) -> list[dict[str, Any]]:
    """The summaries of restaurants over the last days, as `customer_summaries`."""
    return _summaries(RestaurantSummary, "restaurant_id", today, days, limit)


def position(subscription: str) -> int:
    """The position up to which the query models have everything."""
    found = Checkpoint.objects.filter(subscription=subscription).values_list("position", flat=True)
    return found.first() or 0


def _summaries(
    model: type[CustomerSummary] | type[RestaurantSummary],
    owner: str,
    today: date,
    days: int,
    limit: int,
) -> list[dict[str, Any]]:
    found = model._default_manager.filter(day__gt=today - timedelta(days=days), orders__gt=0)
    newest = found.order_by("-day", f"-{owner}", "-status", "-currency")
    columns = (owner, "day", "status", "currency", "orders", "amount_minor")
    return list(newest.values(*columns)[: min(limit, MAX_ROWS)])
