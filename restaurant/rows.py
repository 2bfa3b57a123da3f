"""The only writer of tickets. Each function commits before it returns, unless it says otherwise."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from orders_site.gathering import Gathered, Upsert
from orders_site.transactions import committed
from restaurant import domain
from restaurant.domain import Order, Status
from restaurant.models import Ticket

DATABASE = "restaurant"
# What an id of a restaurant can be (`models.Restaurant`); NUL and the like no database takes.
_ID = re.compile(r"[-a-zA-Z0-9_]{1,64}")
_KNOWN = """
SELECT ticket.id IS NOT NULL, found.is_open, found.accepts_automatically, found.preparation_minutes
FROM unnest(%b::uuid[], %b::text[], %b::bigint[]) AS wanted (ticket_id, restaurant_id, place)
LEFT JOIN restaurant_restaurant AS found ON found.id = wanted.restaurant_id
LEFT JOIN restaurant_ticket AS ticket ON ticket.id = wanted.ticket_id
ORDER BY wanted.place
"""
_STATES: dict[Status, Any] = {
    Status.PENDING: Ticket.State.OPEN,
    Status.PAID: Ticket.State.OPEN,
    Status.APPROVED: Ticket.State.APPROVED,
    Status.REJECTED: Ticket.State.REJECTED,
    Status.CANCELLED: Ticket.State.CLOSED,
    Status.SHIPPED: Ticket.State.SHIPPED,
    Status.DELIVERED: Ticket.State.DELIVERED,
}


@dataclass(frozen=True)
class Known:
    """What there is to know before a paid order is answered.

    Args:
        ticketed: whether its ticket is there, so that it has been decided on.
        terms: how its restaurant takes orders at the moment; None if there is no such restaurant.
    """

    ticketed: bool
    terms: domain.Terms | None


def known(ticket_id: UUID, restaurant_id: str) -> Known:
    """What there is to know about a ticket to be and its restaurant."""
    return _known.run((ticket_id, restaurant_id if _ID.fullmatch(restaurant_id) else ""))


def show(order_id: str, order: Order, version: int, now: datetime) -> None:
    """Have the order's ticket show its log at `version`, never back; open it if there is none.

    The order must be paid, and not have been closed without a ticket.
    """
    placed, paid_by = order.placed, order.paid_by
    assert placed is not None
    assert paid_by is not None
    ticket = Ticket(
        id=domain.ticket_id_of(paid_by),
        order_id=order_id,
        restaurant_id=placed.restaurant_id,
        items=[asdict(item) for item in placed.items],
        amount_minor=placed.amount.minor,
        currency=placed.amount.currency,
        created_at=now,
        updated_at=now,
        version=version,
        **_shown(order),
    )
    _tickets.write(ticket)


def follow(order_id: str, order: Order, version: int, now: datetime) -> None:
    """Bring the order's ticket, if it has one, up to its log at `version`; never back."""
    behind = Ticket.objects.filter(order_id=order_id, version__lt=version)
    fields = {"version": version, "updated_at": now, **_shown(order)}
    committed(DATABASE, lambda: behind.update(**fields))


def take_away(ticket: Ticket) -> None:
    """Delete a ticket that the log knows nothing of; within the caller's transaction."""
    Ticket.objects.filter(pk=ticket.pk).delete()


def _shown(order: Order) -> dict[str, Any]:
    return {
        "state": _STATES[order.status],
        "ready_at": order.ready_at,
        "reason": order.reason,
        "courier": order.courier[: domain.MAX_WORDS_LENGTH],
        "received_by": order.received_by[: domain.MAX_WORDS_LENGTH],
    }


def _read_known(cursor: CursorWrapper, wanted: Sequence[tuple[UUID, str]]) -> list[Known]:
    columns = [list(column) for column in zip(*wanted, strict=True)]
    cursor.execute(_KNOWN, [*columns, list(range(len(wanted)))])
    return [
        Known(ticketed, None if is_open is None else _terms(is_open, automatic, minutes))
        for ticketed, is_open, automatic, minutes in cursor
    ]


def _terms(is_open: bool, automatic: bool, minutes: int) -> domain.Terms:
    return domain.Terms(
        is_open=is_open,
        accepts_automatically=automatic,
        preparation=timedelta(minutes=minutes),
    )


_known = Gathered(DATABASE, _read_known)
_tickets = Upsert(
    Ticket,
    DATABASE,
    changes=("state", "ready_at", "reason", "courier", "received_by", "version", "updated_at"),
    when="stored.version < excluded.version",
)
