"""What the query models read of an order's events: each type with the fields that they need.

A tolerant reader: unknown types and fields are passed over, what is needed must be right.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from eventstore.client import Event
from eventstore.client.upcasting import Upcasters, upcasted
from orders_site.money import Money

AGGREGATE_TYPE = "order"
# Event type -> the steps of its data from schema version 1 to 2, from 2 to 3, and so on.
UPCASTERS: Upcasters = {}
MAX_NAME_LENGTH = 255
MAX_QUANTITY = 2**31 - 1

# Neither NUL nor half a surrogate pair can be stored as text.
_unstorable = re.compile(r"[\x00\ud800-\udfff]").search

# The prices of a menu, and the clients, come again with every order.
_parsed_money = lru_cache(4096)(Money.parse)
_parsed_uuid = lru_cache(4096)(UUID)


class MalformedEvent(ValueError):
    """The event lacks a field that the query models need, or has it in another form."""


class Item(NamedTuple):
    """One line of an order; the unit price in minor units of the order's currency."""

    code: str
    name: str
    unit_price_minor: int
    quantity: int


class OrderCreated(NamedTuple):
    """`api_client` is None where an order was appended without one."""

    api_client: UUID | None
    customer_id: str
    restaurant_id: str
    created_on: datetime
    total: Money
    items: tuple[Item, ...]


@dataclass(frozen=True)
class PaymentDebited:
    amount: Money


@dataclass(frozen=True)
class PaymentFailed:
    pass


@dataclass(frozen=True)
class PaymentRefunded:
    amount: Money


@dataclass(frozen=True)
class OrderApproved:
    pass


@dataclass(frozen=True)
class OrderRejected:
    reason: str


@dataclass(frozen=True)
class OrderCancelled:
    reason: str


@dataclass(frozen=True)
class OrderShipped:
    pass


@dataclass(frozen=True)
class OrderDelivered:
    pass


Fact = (
    OrderCreated
    | PaymentDebited
    | PaymentFailed
    | PaymentRefunded
    | OrderApproved
    | OrderRejected
    | OrderCancelled
    | OrderShipped
    | OrderDelivered
)


def read(event: Event) -> Fact | None:
    """The fact that an event states, None if its type is unknown here.

    Raises:
        UnknownSchemaVersion: the type is known, its data is of another schema.
        MalformedEvent: a field that is needed is missing or wrong.
    """
    reader = READERS.get(event.event_type)
    if reader is None:
        return None
    try:
        return reader(upcasted(event, UPCASTERS))
    except (ValueError, OverflowError, RecursionError) as error:
        raise MalformedEvent(f"{event.event_type}: {error}") from error


def _order_created(event: Event) -> OrderCreated:
    data = event.payload
    total = _money(data)
    items = data.get("order_items")
    if not isinstance(items, list):
        raise MalformedEvent("order_items is not a list")
    client = event.context.get("api_client")
    return OrderCreated(
        api_client=None if client is None else _parsed_uuid(_text(event.context, "api_client")),
        customer_id=_name(data, "customer_id"),
        restaurant_id=_name(data, "restaurant_id"),
        created_on=_moment(data, "created_on"),
        total=total,
        items=tuple(_item(item, total.currency) for item in items),
    )


def _item(item: object, currency: str) -> Item:
    if not isinstance(item, dict):
        raise MalformedEvent("an order item is not an object")
    quantity = item.get("quantity")
    if type(quantity) is not int or not 1 <= quantity <= MAX_QUANTITY:
        raise MalformedEvent("quantity is not a positive integer")
    price = _parsed_money(_text(item, "unit_price"), currency)
    return Item(_text(item, "code"), _text(item, "name"), price.minor, quantity)


def _money(data: Mapping[str, Any]) -> Money:
    money = _parsed_money(_text(data, "amount"), _text(data, "currency"))
    if money.minor < 0:
        raise MalformedEvent("amount is negative")
    return money


def _moment(data: Mapping[str, Any], key: str) -> datetime:
    moment = datetime.fromisoformat(_text(data, key))
    if moment.tzinfo is None:
        raise MalformedEvent(f"{key} has no time zone")
    return moment.astimezone(UTC)


def _name(data: Mapping[str, Any], key: str) -> str:
    value = _text(data, key)
    if not 1 <= len(value) <= MAX_NAME_LENGTH:
        raise MalformedEvent(f"{key} has 1 to {MAX_NAME_LENGTH} characters")
    return value


def _text(data: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = data.get(key, default)
    # What can be printed can be stored, and that is quickly seen.
    if not isinstance(value, str) or (not value.isprintable() and _unstorable(value)):
        raise MalformedEvent(f"{key} is missing or not a text")
    return value


READERS: dict[str, Callable[[Event], Fact]] = {
    "order-created": _order_created,
    "order-payment-debited": lambda event: PaymentDebited(_money(event.payload)),
    "order-payment-failed": lambda event: PaymentFailed(),
    "order-payment-refunded": lambda event: PaymentRefunded(_money(event.payload)),
    "order-approved": lambda event: OrderApproved(),
    "order-rejected": lambda event: OrderRejected(_text(event.payload, "reason")),
    "order-cancelled": lambda event: OrderCancelled(_text(event.payload, "reason", "")),
    "order-shipped": lambda event: OrderShipped(),
    "order-delivered": lambda event: OrderDelivered(),
}
