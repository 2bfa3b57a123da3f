"""The page of one order, out of every context: its row, its events, its money, ticket and saga."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from eventstore.client import Event, EventStoreError, InvalidEvent, TransientError
from eventstore.client.admin.display import AGGREGATE_PERMISSION, change_page_link, pretty_json
from eventstore.client.connection import event_store
from orders_site.money import Money
from orders_site.ordering.reads import saga_of
from payments.reads import payments_of, refunds_of
from queries.reads import order as order_view
from restaurant.reads import ticket_of

T = TypeVar("T")

# An order has a handful of events; whoever appends more to one can't make its page a burden.
MOST_EVENTS = 200

TONES = {
    "order-created": "default",
    "order-payment-debited": "success",
    "order-payment-failed": "danger",
    "order-approved": "success",
    "order-rejected": "danger",
    "order-cancelled": "danger",
    "order-payment-refunded": "info",
    "order-shipped": "info",
    "order-delivered": "primary",
}
STATUS_TONES = {
    "paid": "warning",
    "approved": "success",
    "shipped": "info",
    "delivered": "primary",
    "rejected": "danger",
    "cancelled": "danger",
}


@dataclass(frozen=True)
class Section(Generic[T]):
    """What a part has on the order; `problem` in words if it could not be asked."""

    value: T | None = None
    problem: str = ""


@dataclass(frozen=True)
class Entry:
    """One event on the timeline."""

    event: Event
    tone: str
    actor: str
    data: str
    metadata: str
    link: str


def order_page(request: HttpRequest, aggregate_id: str) -> HttpResponse:
    """GET admin/orders/<id>/: as much of it as the user may see and the parts that answer know."""
    may = request.user.has_perm
    if not may(AGGREGATE_PERMISSION):
        raise PermissionDenied
    order_id = unquote(aggregate_id)
    row = _asked("The query model", lambda: order_view(order_id))
    log = _asked("The event store", lambda: _events(order_id))
    if not (row.value or row.problem or log.value or log.problem):
        raise Http404
    sections: dict[str, Any] = {"row": row, "log": log, "timeline": [], "lines": []}
    if may("eventstore.view_storedevent"):
        sections["timeline"] = timeline((log.value or [])[:MOST_EVENTS])
        sections["shown"] = MOST_EVENTS if _has_more(log) else 0
    if may("payments.view_payment"):
        sections["payments"] = _asked("Payments", lambda: payments_of(order_id))
    if may("payments.view_refund"):
        sections["refunds"] = _asked("Payments", lambda: refunds_of(order_id))
    if may("restaurant.view_ticket"):
        sections["ticket"] = _asked("The restaurant", lambda: ticket_of(order_id))
    if may("ordering.view_ordersaga"):
        sections["saga"] = _asked("Ordering", lambda: saga_of(order_id))
    context = {**admin.site.each_context(request), **sections, **_summary(row, log)}
    context |= {"title": f"Order {order_id}", "order_id": order_id}
    return TemplateResponse(request, "console/order.html", context)


def _events(order_id: str) -> list[Event]:
    """The order's events, one more at most than are shown."""
    try:
        return list(islice(event_store().read_many([(order_id, 1)]), MOST_EVENTS + 1))
    except InvalidEvent:
        return []  # no aggregate can have such an id


def _has_more(log: Section[list[Event]]) -> bool:
    return log.value is not None and len(log.value) > MOST_EVENTS


def timeline(events: Sequence[Event]) -> list[Entry]:
    """The events as they are shown, the oldest first."""
    return [
        Entry(
            event,
            TONES.get(event.event_type, "default"),
            _actor(event),
            pretty_json(event.data),
            pretty_json(event.metadata),
            change_page_link("open", "eventstore_storedevent", event.event_id),
        )
        for event in events
    ]


def _actor(event: Event) -> str:
    try:
        return str(json.loads(event.metadata).get("actor", ""))
    except (ValueError, AttributeError, RecursionError):
        return ""


def _summary(row: Section[Any], log: Section[list[Event]]) -> dict[str, Any]:
    """The row's amounts and lines, in words, and how far it is behind the log."""
    if row.value is None:
        return {}
    view = row.value
    behind = len(log.value) - view.version if log.value and not _has_more(log) else 0
    return {
        "tone": STATUS_TONES.get(view.status, "default"),
        "amount": Money(view.amount_minor, view.currency),
        "debited": Money(view.debited_minor, view.currency),
        "refunded": Money(view.refunded_minor, view.currency),
        "lines": [(item, Money(item.unit_price_minor, view.currency)) for item in view.items],
        "behind": max(behind, 0),
    }


def _asked(who: str, read: Callable[[], T]) -> Section[T]:
    try:
        return Section(read())
    except (OperationalError, InterfaceError, TransientError):
        return Section(problem=f"{who} can't be reached at the moment. Try again soon.")
    except EventStoreError as refusal:
        return Section(problem=f"{who}: {refusal}")
