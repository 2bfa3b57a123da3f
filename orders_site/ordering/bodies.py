"""JSON bodies of the REST API: what requests carry, checked for shape, and what answers look like.

Read by hand rather than by a DRF serializer: building a nested one for each request costs more
than all the rest of the view. The rules of orders are the domain's; here are types and names only.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rest_framework.exceptions import ValidationError

from orders_site.money import CURRENCIES, Money
from orders_site.ordering.details import MAX_ITEMS, OrderDetails, OrderItem, text_problems
from orders_site.ordering.domain import MAX_REASON_LENGTH, Order
from orders_site.ordering.messages import details_json, moment_json

# `created_on` is what the reference's client always sends; the order's time is our own.
ORDER_FIELDS = {"customer_id", "restaurant_id", "currency", "order_items", "created_on"}
ITEM_FIELDS = {"code", "name", "unit_price", "quantity"}
CANCEL_FIELDS = {"reason"}

_LONGEST_NAME_SHOWN = 64
_MISSING: Any = object()


def order_json(order: Order, version: int) -> dict[str, Any]:
    """An order as the API shows it."""
    return {
        "order_id": order.placed.order_id,
        **details_json(order.placed.details),
        "status": order.status.value,
        "payment_status": order.payment_status.value,
        "amount": str(order.placed.amount),
        "created_on": moment_json(order.placed.created_on),
        "version": version,
        "reason": order.reason,
    }


def order_details(body: Any, *, default_currency: str) -> OrderDetails:
    """The order that a request's body asks for.

    Raises:
        ValidationError: fields are missing, of the wrong type, or unknown.
    """
    fields = _Fields(body, ORDER_FIELDS)
    customer_id, restaurant_id = fields.text("customer_id"), fields.text("restaurant_id")
    currency = fields.text("currency", default=default_currency)
    if "currency" not in fields.problems and currency not in CURRENCIES:
        fields.problems["currency"] = ["is not an active ISO 4217 currency"]
    items = _items(fields, currency if currency in CURRENCIES else default_currency)
    fields.raise_problems()
    return OrderDetails(customer_id, restaurant_id, currency, items)


def _items(fields: "_Fields", currency: str) -> tuple[OrderItem, ...]:
    values = fields.take("order_items")
    if not isinstance(values, list):
        fields.refuse("order_items", "is a list of items")
        return ()
    if len(values) > MAX_ITEMS:
        fields.refuse("order_items", f"has 1 to {MAX_ITEMS} items")
        return ()
    items, problems = [], {}
    for place, value in enumerate(values):
        item = _Fields(value, ITEM_FIELDS)
        items.append(
            OrderItem(
                code=item.text("code"),
                name=item.text("name"),
                unit_price=item.money("unit_price", currency),
                quantity=item.integer("quantity"),
            )
        )
        if item.problems:
            problems[str(place)] = item.problems
    if problems:
        fields.problems["order_items"] = problems
    return tuple(items)


def cancel_reason(body: Any) -> str:
    """The reason given in the optional body of a cancellation; empty if there is none.

    Raises:
        ValidationError.
    """
    fields = _Fields(body, CANCEL_FIELDS)
    reason = fields.text("reason", default="")
    for problem in text_problems(reason, MAX_REASON_LENGTH, shortest=0):
        fields.refuse("reason", problem)
    fields.raise_problems()
    return reason


class _Fields:
    """Takes typed fields out of a JSON object, and collects in `problems` what is wrong."""

    def __init__(self, value: Any, known: set[str]) -> None:
        self.problems: dict[str, Any] = {}
        self.values: Mapping[str, Any] = value if isinstance(value, dict) else {}
        if not isinstance(value, dict):
            self.refuse("non_field_errors", "is a JSON object")
        for name in self.values.keys() - known:
            self.refuse(_printable(name), "is not a field that can be sent")

    def take(self, name: str, default: Any = _MISSING) -> Any:
        value = self.values.get(name, default)
        if value is _MISSING:
            self.refuse(name, "is required")
        return value

    def text(self, name: str, default: Any = _MISSING) -> str:
        value = self.take(name, default)
        if isinstance(value, str):
            return value
        self.refuse(name, "is a text")
        return ""

    def integer(self, name: str) -> int:
        value = self.take(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        self.refuse(name, "is an integer")
        return 0

    def money(self, name: str, currency: str) -> Money:
        value = self.take(name)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        try:
            if isinstance(value, str | Decimal):
                return Money.parse(value, currency)
            self.refuse(name, "is a decimal number, such as 12.50, or a text with one")
        except ValueError as error:
            self.refuse(name, str(error))
        return Money(0, currency)

    def refuse(self, name: str, problem: str) -> None:
        """Note a problem, unless the field has one already."""
        self.problems.setdefault(name, [problem])

    def raise_problems(self) -> None:
        if self.problems:
            raise ValidationError(self.problems)


def _printable(name: str) -> str:
    return name[:_LONGEST_NAME_SHOWN].encode("ascii", "backslashreplace").decode()
