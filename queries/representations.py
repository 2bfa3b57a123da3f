"""How orders, their events and summaries look in JSON."""

import json
import math
from datetime import datetime
from typing import Any

from eventstore.client import Event
from orders_site.money import Money
from queries.freshness import Behind
from queries.models import CustomerSummary, RestaurantSummary
from queries.projections import OrderView


def order_json(view: OrderView) -> dict[str, Any]:
    """An order, the same whether it comes from the query model or from the log."""
    return {
        "order_id": view.order_id,
        "customer_id": view.customer_id,
        "restaurant_id": view.restaurant_id,
        "status": view.status,
        "payment_status": view.payment_status,
        "amount": str(Money(view.amount_minor, view.currency)),
        "currency": view.currency,
        "order_items": [
            {
                "code": item.code,
                "name": item.name,
                "unit_price": str(Money(item.unit_price_minor, view.currency)),
                "quantity": item.quantity,
            }
            for item in view.items
        ],
        "created_on": moment(view.created_on),
        "version": view.version,
        "reason": view.reason,
    }


def event_json(event: Event, *, whole_actor: bool) -> dict[str, Any]:
    """An event as it may be shown.

    Of its metadata only the actor, without the name behind the colon unless `whole_actor`.
    """
    return {
        "event_id": str(event.event_id),
        "type": event.event_type,
        "version": event.version,
        "position": event.position,
        "recorded_at": moment(event.recorded_at),
        "actor": _actor(event, whole_actor),
        "data": _data(event),
    }


def summary_json(row: CustomerSummary | RestaurantSummary, owner: str) -> dict[str, Any]:
    """A summary; `owner` is the field of the customer or the restaurant."""
    return {
        owner: getattr(row, owner),
        "day": row.day.isoformat(),
        "status": row.status,
        "currency": row.currency,
        "orders": row.orders,
        "amount": str(Money(int(row.amount_minor), row.currency)),
    }


def page_json(results: list[Any], next_page: str | None, behind: Behind) -> dict[str, Any]:
    """A page of a list, which says how far the query models are behind the log."""
    as_of = moment(behind.as_of) if behind.as_of else None
    return {
        "results": results,
        "next": next_page,
        "behind": {"events": behind.events, "as_of": as_of},
    }


def moment(value: datetime) -> str:
    """A moment in UTC as RFC 3339, to the microsecond."""
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _actor(event: Event, whole: bool) -> str:
    try:
        actor = str(event.context.get("actor", ""))
    except (ValueError, RecursionError):
        return ""
    return actor if whole else actor.partition(":")[0]


def _data(event: Event) -> Any:
    """The data parsed; as text where it is nested too deep, or has a number too large, for that."""
    try:
        return json.loads(event.data or "{}", parse_float=_finite)
    except (ValueError, RecursionError):
        return event.data


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("JSON has no infinity")
    return number
