"""Wire <-> domain: the events that ordering publishes, and what it reads of those it folds."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, assert_never
from uuid import UUID

from eventstore.client.events import Event, NewEvent, to_json
from eventstore.client.upcasting import Upcasters, upcasted
from orders_site.money import Money
from orders_site.ordering import domain
from orders_site.ordering.details import CONTROL_CHARACTERS, OrderDetails, OrderItem

AGGREGATE_TYPE = "order"
SCHEMA_VERSION = 1
# Event type -> the steps of its data from schema version 1 to 2, from 2 to 3, and so on.
UPCASTERS: Upcasters = {}

ORDER_CREATED = "order-created"
ORDER_REJECTED = "order-rejected"
ORDER_CANCELLED = "order-cancelled"
PAYMENT_DEBITED = "order-payment-debited"
PAYMENT_FAILED = "order-payment-failed"
PAYMENT_REFUNDED = "order-payment-refunded"
ORDER_APPROVED = "order-approved"
ORDER_SHIPPED = "order-shipped"
ORDER_DELIVERED = "order-delivered"

Json = Mapping[str, Any]


class MalformedEvent(Exception):
    """An event lacks what its type promises."""


# -- What ordering publishes --------------------------------------------------------------------


def new_event(event: domain.OwnEvent, *, event_id: UUID, order_id: str, metadata: str) -> NewEvent:
    """An event of ordering's, ready to append."""
    match event:
        case domain.OrderCreated():
            event_type, data = ORDER_CREATED, _created_data(event)
        case domain.OrderRejected(reason):
            event_type, data = ORDER_REJECTED, {"reason": reason}
        case domain.OrderCancelled(reason, by):
            event_type, data = ORDER_CANCELLED, {"reason": reason, "by": by}
        case _:
            assert_never(event)
    return NewEvent(
        event_id=event_id,
        event_type=event_type,
        aggregate_id=order_id,
        aggregate_type=AGGREGATE_TYPE,
        data=to_json(data),
        metadata=metadata,
    )


def _created_data(event: domain.OrderCreated) -> dict[str, Any]:
    return {
        "order_id": event.order_id,
        **details_json(event.details),
        "created_on": moment_json(event.created_on),
        "amount": str(event.amount),
    }


def details_json(details: OrderDetails) -> dict[str, Any]:
    """The details in the words of the wire; equal orders give equal values."""
    return {
        "customer_id": details.customer_id,
        "restaurant_id": details.restaurant_id,
        "currency": details.currency,
        "order_items": [
            {
                "code": item.code,
                "name": item.name,
                "unit_price": str(item.unit_price),
                "quantity": item.quantity,
            }
            for item in details.items
        ],
    }


def fingerprint(details: OrderDetails) -> str:
    """SHA-256 in hex of an order's details, however the request spelt them."""
    return sha256(to_json(details_json(details)).encode()).hexdigest()


def moment_json(moment: datetime) -> str:
    """RFC 3339 in UTC, to the microsecond."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


# -- What ordering reads ------------------------------------------------------------------------

# What data can do to its reader: numbers beyond bounds and nesting beyond the stack included.
_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


def fold(events: Iterable[Event]) -> domain.Order | None:
    """The order that its events, in version order, tell; raises as `parse` does."""
    return domain.fold(parsed for event in events if (parsed := parse(event)) is not None)


def parse(event: Event) -> domain.Event | None:
    """The event in the domain's terms; None if it is of no order, or doesn't concern ordering.

    Raises:
        UnknownSchemaVersion: of a type that does.
        MalformedEvent: it lacks something that ordering needs.
    """
    reader = _READERS.get(event.event_type)
    if reader is None or event.aggregate_type != AGGREGATE_TYPE:
        return None
    try:
        return reader(upcasted(event, UPCASTERS).payload)
    except _UNREADABLE as error:
        raise MalformedEvent(
            f"{event.event_type} {event.event_id}: {type(error).__name__} {error}"
        ) from error


def _read_created(data: Json) -> domain.OrderCreated:
    currency = data["currency"]
    items = tuple(
        OrderItem(
            code=_text(item["code"]),
            name=_text(item["name"]),
            unit_price=Money.parse(item["unit_price"], currency),
            quantity=int(item["quantity"]),
        )
        for item in data["order_items"]
    )
    created_on = datetime.fromisoformat(data["created_on"])
    if created_on.tzinfo is None:
        raise ValueError("created_on has no time zone")
    return domain.OrderCreated(
        order_id=_text(data["order_id"]),
        details=OrderDetails(
            _text(data["customer_id"]), _text(data["restaurant_id"]), currency, items
        ),
        created_on=created_on.astimezone(UTC),
        amount=Money.parse(data["amount"], currency),
    )


def _text(value: object) -> str:
    """A text that every database and every JSON reader takes, whoever appended the event."""
    return CONTROL_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", str(value))


def _read_amount(data: Json) -> Money:
    return Money.parse(data["amount"], data["currency"])


_READERS: Mapping[str, Callable[[Json], domain.Event]] = {
    ORDER_CREATED: _read_created,
    ORDER_REJECTED: lambda data: domain.OrderRejected(_text(data.get("reason", ""))),
    ORDER_CANCELLED: lambda data: domain.OrderCancelled(
        _text(data.get("reason", "")), _text(data.get("by", ""))
    ),
    PAYMENT_DEBITED: lambda data: domain.PaymentDebited(_read_amount(data)),
    PAYMENT_FAILED: lambda data: domain.PaymentFailed(_text(data.get("reason", ""))),
    PAYMENT_REFUNDED: lambda data: domain.PaymentRefunded(_read_amount(data)),
    ORDER_APPROVED: lambda data: domain.OrderApproved(),
    ORDER_SHIPPED: lambda data: domain.OrderShipped(),
    ORDER_DELIVERED: lambda data: domain.OrderDelivered(),
}
