"""The only writer of tickets. Each function commits before it returns, unless it says otherwise."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug

from orders_site.transactions import committed
from restaurant import domain
from restaurant.domain import Order, Status
from restaurant.models import Restaurant, Ticket

DATABASE = "restaurant"
_STATES: dict[Status, Any] = {
    Status.PENDING: Ticket.State.OPEN,
    Status.PAID: Ticket.State.OPEN,
    Status.APPROVED: Ticket.State.APPROVED,
    Status.REJECTED: Ticket.State.REJECTED,
    Status.CANCELLED: Ticket.State.CLOSED,
    Status.SHIPPED: Ticket.State.SHIPPED,
    Status.DELIVERED: Ticket.State.DELIVERED,
}


def terms_of(restaurant_id: str) -> domain.Terms | None:
    """How the restaurant takes orders at the moment; None if there is none of this id."""
    try:
        validate_slug(restaurant_id)
    except ValidationError:
        return None
    restaurant = Restaurant.objects.filter(pk=restaurant_id).first()
    if restaurant is None:
        return None
    return domain.Terms(
        is_open=restaurant.is_open,
        accepts_automatically=restaurant.accepts_automatically,
        preparation=timedelta(minutes=restaurant.preparation_minutes),
    )


def ticket_exists(ticket_id: UUID) -> bool:
    return Ticket.objects.filter(pk=ticket_id).exists()


def open_ticket(ticket_id: UUID, order_id: str, placed: domain.OrderPlaced, now: datetime) -> None:
    """Open the order's ticket, unless it has one."""
    fields = {
        "order_id": order_id,
        "restaurant_id": placed.restaurant_id,
        "items": [asdict(item) for item in placed.items],
        "amount_minor": placed.amount.minor,
        "currency": placed.amount.currency,
        "created_at": now,
        "updated_at": now,
    }
    committed(DATABASE, lambda: Ticket.objects.get_or_create(pk=ticket_id, defaults=fields))


def follow(order_id: str, order: Order, version: int, now: datetime) -> None:
    """Bring the order's ticket, if it has one, up to its log at `version`; never back."""
    fields = {"state": _STATES[order.status], "version": version, "updated_at": now}
    behind = Ticket.objects.filter(order_id=order_id, version__lt=version)
    committed(DATABASE, lambda: behind.update(**fields, **_details(order)))


def take_away(ticket: Ticket) -> None:
    """Delete a ticket that the log knows nothing of; within the caller's transaction."""
    Ticket.objects.filter(pk=ticket.pk).delete()


def _details(order: Order) -> dict[str, Any]:
    return {
        "ready_at": order.ready_at,
        "reason": order.reason,
        "courier": order.courier[: domain.MAX_WORDS_LENGTH],
        "received_by": order.received_by[: domain.MAX_WORDS_LENGTH],
    }
