"""An order as payments sees it, folded from its events, and what payments does about it; pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce
from typing import assert_never
from uuid import UUID, uuid5

from orders_site.money import Money


@dataclass(frozen=True, kw_only=True)
class OrderPlaced:
    event_id: UUID
    amount: Money


@dataclass(frozen=True, kw_only=True)
class PaymentDebited:
    event_id: UUID
    payment_id: UUID
    amount: Money
    provider: str
    provider_reference: str


@dataclass(frozen=True, kw_only=True)
class PaymentFailed:
    code: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PaymentRefunded:
    refund_id: UUID
    amount: Money
    provider_reference: str


@dataclass(frozen=True)
class OrderClosed:
    """The order was rejected or cancelled; there is nothing left to pay for."""


OrderFact = OrderPlaced | PaymentDebited | PaymentFailed | PaymentRefunded | OrderClosed


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the order's events say about its money."""

    placed: OrderPlaced | None = None
    debit: PaymentDebited | None = None
    failure: PaymentFailed | None = None
    refunds: tuple[PaymentRefunded, ...] = ()
    closed: bool = False

    @property
    def refunded_minor(self) -> int:
        """What was given back so far, in minor units."""
        return sum(refund.amount.minor for refund in self.refunds)


@dataclass(frozen=True)
class Charge:
    """Take the money."""

    placed: OrderPlaced


@dataclass(frozen=True)
class Withhold:
    """Take no money: the order closed first. What was asked for before that is still to settle."""

    placed: OrderPlaced


@dataclass(frozen=True)
class Refund:
    """Give `amount` of the debit back."""

    debit: PaymentDebited
    amount: Money


@dataclass(frozen=True)
class Nothing:
    """The money is where it belongs."""


Step = Charge | Withhold | Refund | Nothing


def fold(facts: Iterable[OrderFact]) -> Order:
    """The order after these facts, in the log's order."""
    return reduce(evolve, facts, Order())


def next_step(order: Order) -> Step:
    """What is to be done about the order's money now."""
    match order:
        case Order(debit=PaymentDebited() as debit, closed=True):
            left = Money(debit.amount.minor - order.refunded_minor, debit.amount.currency)
            return Refund(debit, left) if left.minor > 0 else Nothing()
        case Order(debit=PaymentDebited()) | Order(failure=PaymentFailed()) | Order(placed=None):
            return Nothing()
        case Order(placed=OrderPlaced() as placed, closed=closed):
            return Withhold(placed) if closed else Charge(placed)
    raise AssertionError("unreachable")


def payment_id_of(placed: OrderPlaced) -> UUID:
    """The one payment of an order; its text is the idempotency key of the charge."""
    return uuid5(placed.event_id, "payments.payment")


def refund_id_of(debit: PaymentDebited) -> UUID:
    """The one refund that a closed order gets; its text is the idempotency key of the refund."""
    return uuid5(debit.event_id, "payments.refund")


def evolve(order: Order, fact: OrderFact) -> Order:
    """The order after one more fact."""
    match fact:
        case OrderPlaced():
            return replace(order, placed=order.placed or fact)
        case PaymentDebited():
            return replace(order, debit=order.debit or fact)
        case PaymentFailed():
            return replace(order, failure=order.failure or fact)
        case PaymentRefunded():
            return replace(order, refunds=(*order.refunds, fact))
        case OrderClosed():
            return replace(order, closed=True)
    assert_never(fact)
