"""The wire vocabulary of the restaurant: what it publishes, and what it reads of an order's."""

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, assert_never
from uuid import UUID

from eventstore.client import Event, NewEvent, metadata_for, to_json
from eventstore.client.upcasting import Upcasters, upcasted
from orders_site.money import Money
from restaurant import domain
from restaurant.domain import Decision, Order, OrderFact

ORDER = "order"
ORDER_CREATED = "order-created"
PAYMENT_DEBITED = "order-payment-debited"
ORDER_APPROVED = "order-approved"
ORDER_REJECTED = "order-rejected"
ORDER_CANCELLED = "order-cancelled"
ORDER_SHIPPED = "order-shipped"
ORDER_DELIVERED = "order-delivered"
SCHEMA_VERSION = 1
# Event type -> the steps of its data from schema version 1 to 2, from 2 to 3, and so on.
UPCASTERS: Upcasters = {}
ACTOR = "restaurant"
# Neither NUL nor half a surrogate pair can be stored as text.
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
# What data can do to its reader: numbers beyond bounds and nesting beyond the stack included.
_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


class MalformedEvent(ValueError):
    """The event's data lacks what its type promises."""


def read_order(history: Iterable[Event]) -> Order:
    """The order that these events, all of it in version order, tell of.

    Raises:
        MalformedEvent: an event that the restaurant knows can't be read.
        UnknownSchemaVersion: or is of a later schema.
    """
    facts = map(fact_of, history)
    return domain.fold(fact for fact in facts if fact is not None)


def fact_of(event: Event) -> OrderFact | None:
    """What the event says to the restaurant; None for what is of no order, or not read here."""
    if event.aggregate_type != ORDER or event.event_type not in _READERS:
        return None
    try:
        event = upcasted(event, UPCASTERS)
        return _READERS[event.event_type](event, event.payload)
    except _UNREADABLE as error:
        raise MalformedEvent(f"{event.event_type} {event.event_id}: {error!r}") from error


def fact_in(event: NewEvent) -> OrderFact:
    """What a decision of the restaurant's own will say once it is recorded."""
    return _READERS[event.event_type](event, json.loads(event.data))


def decided(decision: Decision, event_id: UUID, cause: Event, *, actor: str = ACTOR) -> NewEvent:
    """The decision as the event to append, caused by `cause`."""
    event_type, data = _written(decision)
    return NewEvent(
        event_id=event_id,
        event_type=event_type,
        aggregate_id=cause.aggregate_id,
        aggregate_type=cause.aggregate_type,
        data=to_json(data),
        metadata=metadata_for(actor=actor, schema_version=SCHEMA_VERSION, cause=cause),
        stream=cause.stream,
    )


def _written(decision: Decision) -> tuple[str, dict[str, str]]:
    match decision:
        case domain.OrderApproved(ticket_id=ticket_id, ready_at=ready_at):
            return ORDER_APPROVED, {"ticket_id": str(ticket_id), "ready_at": _rfc3339(ready_at)}
        case domain.OrderRejected(reason=reason):
            return ORDER_REJECTED, {"reason": reason}
        case domain.OrderShipped(courier=courier):
            return ORDER_SHIPPED, {"courier": courier}
        case domain.OrderDelivered(received_by=received_by):
            return ORDER_DELIVERED, {"received_by": received_by}
    assert_never(decision)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _text(value: Any) -> str:
    return _UNSTORABLE.sub("\ufffd", str(value))


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment


def _item(data: dict[str, Any]) -> domain.Item:
    return domain.Item(_text(data["code"]), _text(data["name"]), int(data["quantity"]))


def _placed(event: Event | NewEvent, data: dict[str, Any]) -> domain.OrderPlaced:
    return domain.OrderPlaced(
        restaurant_id=_text(data["restaurant_id"]),
        amount=Money.parse(data["amount"], data["currency"]),
        items=tuple(map(_item, data["order_items"])),
    )


def _approved(event: Event | NewEvent, data: dict[str, Any]) -> domain.OrderApproved:
    return domain.OrderApproved(
        ticket_id=UUID(data["ticket_id"]), ready_at=_moment(data["ready_at"])
    )


_READERS: dict[str, Callable[[Event | NewEvent, dict[str, Any]], OrderFact]] = {
    ORDER_CREATED: _placed,
    PAYMENT_DEBITED: lambda event, data: domain.OrderPaid(event.event_id),
    ORDER_APPROVED: _approved,
    ORDER_REJECTED: lambda event, data: domain.OrderRejected(reason=_text(data.get("reason", ""))),
    ORDER_CANCELLED: lambda event, data: domain.OrderCancelled(
        reason=_text(data.get("reason", ""))
    ),
    ORDER_SHIPPED: lambda event, data: domain.OrderShipped(courier=_text(data.get("courier", ""))),
    ORDER_DELIVERED: lambda event, data: domain.OrderDelivered(
        received_by=_text(data.get("received_by", ""))
    ),
}
