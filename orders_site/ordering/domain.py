"""What an order is and what may happen to it: commands, events, `decide` and `evolve`."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never

from orders_site.money import Money
from orders_site.ordering.details import OrderDetails, order_problems

MAX_REASON_LENGTH = 200


class Status(StrEnum):
    """How far an order is; rejected, cancelled and delivered are final."""

    PENDING = "pending"
    PAID = "paid"
    APPROVED = "approved"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


class PaymentStatus(StrEnum):
    """Where the order's money is."""

    NONE = "none"
    DEBITED = "debited"
    FAILED = "failed"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"


class Rejection(StrEnum):
    """Why ordering itself rejects an order; restaurants have words of their own."""

    PAYMENT_FAILED = "payment-failed"
    PAYMENT_TIMEOUT = "payment-timeout"
    APPROVAL_TIMEOUT = "approval-timeout"


# The statuses that each status is reached from; whatever else is tried changes nothing.
_REACHED_FROM = {
    Status.PAID: {Status.PENDING},
    Status.APPROVED: {Status.PAID},
    Status.SHIPPED: {Status.APPROVED},
    Status.DELIVERED: {Status.SHIPPED},
    Status.REJECTED: {Status.PENDING, Status.PAID},
    Status.CANCELLED: {Status.PENDING, Status.PAID},
}
# A reason to reject is void once the order is past what it complains about.
_REJECTED_WHILE = {
    Rejection.PAYMENT_FAILED: Status.PENDING,
    Rejection.PAYMENT_TIMEOUT: Status.PENDING,
    Rejection.APPROVAL_TIMEOUT: Status.PAID,
}


# -- Commands -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlaceOrder:
    order_id: str
    details: OrderDetails
    placed_at: datetime


@dataclass(frozen=True)
class CancelOrder:
    reason: str
    by: str


@dataclass(frozen=True)
class RejectOrder:
    reason: Rejection


Command = PlaceOrder | CancelOrder | RejectOrder

# -- Events: ordering's own, then those it learns from others ------------------------------------


@dataclass(frozen=True)
class OrderCreated:
    order_id: str
    details: OrderDetails
    created_on: datetime
    amount: Money


@dataclass(frozen=True)
class OrderRejected:
    reason: str


@dataclass(frozen=True)
class OrderCancelled:
    reason: str
    by: str


@dataclass(frozen=True)
class PaymentDebited:
    amount: Money


@dataclass(frozen=True)
class PaymentFailed:
    reason: str


@dataclass(frozen=True)
class PaymentRefunded:
    amount: Money


@dataclass(frozen=True)
class OrderApproved:
    pass


@dataclass(frozen=True)
class OrderShipped:
    pass


@dataclass(frozen=True)
class OrderDelivered:
    pass


OwnEvent = OrderCreated | OrderRejected | OrderCancelled
Event = (
    OwnEvent
    | PaymentDebited
    | PaymentFailed
    | PaymentRefunded
    | OrderApproved
    | OrderShipped
    | OrderDelivered
)


# -- Refusals -----------------------------------------------------------------------------------


class OrderingError(Exception):
    """The order can't do that."""

    def __str__(self) -> str:
        return super().__str__() or (self.__doc__ or "").partition("\n")[0]


class InvalidOrder(OrderingError):
    """The order breaks a rule; `problems` has the words for the sender, by field."""

    def __init__(self, problems: dict[str, Any]) -> None:
        super().__init__()
        self.problems = problems


class NoSuchOrder(OrderingError):
    """There is no such order."""


class CannotCancel(OrderingError):
    """The order is too far on to be cancelled."""

    def __init__(self, status: Status) -> None:
        super().__init__(f"The order is {status}; it can be cancelled while pending or paid.")
        self.status = status


# -- State --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """An order as its events tell it. `debited` and `refunded` are minor units."""

    placed: OrderCreated
    status: Status = Status.PENDING
    reason: str = ""
    declined: bool = False
    debited: int = 0
    refunded: int = 0

    @property
    def payment_status(self) -> PaymentStatus:
        if not self.debited:
            return PaymentStatus.FAILED if self.declined else PaymentStatus.NONE
        if not self.refunded:
            return PaymentStatus.DEBITED
        return PaymentStatus.PARTIALLY_REFUNDED if self.holds_money else PaymentStatus.REFUNDED

    @property
    def holds_money(self) -> bool:
        """Whether some of what was taken has not been given back."""
        return self.debited > self.refunded


def evolve(order: Order | None, event: Event) -> Order | None:
    """The order after the event. Nothing happens to an order before it is created."""
    if order is None:
        return Order(event) if isinstance(event, OrderCreated) else None
    match event:
        case OrderCreated():
            return order
        case PaymentDebited(amount):
            return _reach(replace(order, debited=order.debited + amount.minor), Status.PAID)
        case PaymentFailed():
            return replace(order, declined=True)
        case PaymentRefunded(amount):
            return replace(order, refunded=order.refunded + amount.minor)
        case OrderApproved():
            return _reach(order, Status.APPROVED)
        case OrderShipped():
            return _reach(order, Status.SHIPPED)
        case OrderDelivered():
            return _reach(order, Status.DELIVERED)
        case OrderRejected(reason):
            return _reach(order, Status.REJECTED, reason)
        case OrderCancelled(reason):
            return _reach(order, Status.CANCELLED, reason)
        case _:
            assert_never(event)


def _reach(order: Order, status: Status, reason: str = "") -> Order:
    if order.status not in _REACHED_FROM[status]:
        return order
    return replace(order, status=status, reason=reason)


# -- Decisions ----------------------------------------------------------------------------------


def decide(command: Command, order: Order | None) -> tuple[OwnEvent, ...]:
    """What comes of a command; nothing, when it was done before or has become pointless.

    Raises:
        InvalidOrder, NoSuchOrder, CannotCancel.
    """
    match command:
        case PlaceOrder():
            return () if order else (place(command),)
        case CancelOrder(reason, by):
            if order is None:
                raise NoSuchOrder
            if order.status is Status.CANCELLED:
                return ()
            if order.status not in _REACHED_FROM[Status.CANCELLED]:
                raise CannotCancel(order.status)
            return (OrderCancelled(reason, by),)
        case RejectOrder(reason):
            if order is None or order.status is not _REJECTED_WHILE[reason]:
                return ()
            return (OrderRejected(reason),)
        case _:
            assert_never(command)


def place(command: PlaceOrder) -> OrderCreated:
    """How an order begins; raises InvalidOrder."""
    details = command.details
    if problems := order_problems(details):
        raise InvalidOrder(problems)
    return OrderCreated(command.order_id, details, command.placed_at, details.amount)


def fold(events: Iterable[Event]) -> Order | None:
    """The order that the events tell, in version order."""
    order: Order | None = None
    for event in events:
        order = evolve(order, event)
    return order
