"""What can be ordered: an order's details, and the rules that they keep."""

import re
from dataclasses import dataclass
from typing import Any

from orders_site.money import MAX_MINOR, Money

MAX_ITEMS = 100
MAX_PARTY_ID_LENGTH = 64
MAX_CODE_LENGTH = 64
MAX_NAME_LENGTH = 200
MAX_QUANTITY = 10_000

# Control characters, the line separators of Unicode, halves of surrogate pairs.
CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class OrderItem:
    """One line of an order."""

    code: str
    name: str
    unit_price: Money
    quantity: int


@dataclass(frozen=True)
class OrderDetails:
    """What is ordered, by whom, from whom, in one currency."""

    customer_id: str
    restaurant_id: str
    currency: str
    items: tuple[OrderItem, ...]

    @property
    def amount(self) -> Money:
        """The sum of the lines, exact."""
        return Money(
            sum(item.unit_price.minor * item.quantity for item in self.items), self.currency
        )


def order_problems(details: OrderDetails) -> dict[str, Any]:
    """What is wrong with an order, by field, in words for the sender; empty if nothing is."""
    return _found(
        customer_id=text_problems(details.customer_id, MAX_PARTY_ID_LENGTH),
        restaurant_id=text_problems(details.restaurant_id, MAX_PARTY_ID_LENGTH),
        order_items=_items_problems(details),
    )


def _items_problems(details: OrderDetails) -> Any:
    if not 1 <= len(details.items) <= MAX_ITEMS:
        return [f"has 1 to {MAX_ITEMS} items"]
    wrong = {
        str(place): problems
        for place, item in enumerate(details.items)
        if (problems := _item_problems(item, details.currency))
    }
    if wrong:
        return wrong
    if details.amount.minor == 0:
        return ["costs nothing in all; a free order is not taken"]
    return ["costs too much in all"] if details.amount.minor > MAX_MINOR else []


def _item_problems(item: OrderItem, currency: str) -> dict[str, Any]:
    price, quantity = item.unit_price, item.quantity
    return _found(
        code=text_problems(item.code, MAX_CODE_LENGTH),
        name=text_problems(item.name, MAX_NAME_LENGTH),
        unit_price=(["is below zero"] if price.minor < 0 else [])
        + (["is in another currency than the order"] if price.currency != currency else []),
        quantity=[] if 1 <= quantity <= MAX_QUANTITY else [f"is from 1 to {MAX_QUANTITY:,}"],
    )


def text_problems(text: str, longest: int, shortest: int = 1) -> list[str]:
    """What is wrong with a text of `shortest` to `longest` characters; empty if nothing is."""
    if not shortest <= len(text) <= longest:
        return [f"has {shortest} to {longest} characters"]
    if shortest and not text.strip():
        return ["is blank"]
    return ["has a control character"] if CONTROL_CHARACTERS.search(text) else []


def _found(**problems: Any) -> dict[str, Any]:
    return {field: found for field, found in problems.items() if found}
