"""An order as its restaurant sees it, folded from its events, and what may be decided; pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import reduce
from typing import Any, assert_never
from uuid import UUID, uuid5

from orders_site.money import Money

MAX_WORDS_LENGTH = 200


class Status(StrEnum):
    """Where the order stands; rejected, cancelled and delivered are final."""

    PENDING = "pending"
    PAID = "paid"
    APPROVED = "approved"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    SHIPPED = "shipped"
    DELIVERED = "delivered"


@dataclass(frozen=True)
class Item:
    code: str
    name: str
    quantity: int


@dataclass(frozen=True, kw_only=True)
class OrderPlaced:
    restaurant_id: str
    amount: Money
    items: tuple[Item, ...]


@dataclass(frozen=True)
class OrderPaid:
    event_id: UUID


@dataclass(frozen=True, kw_only=True)
class OrderApproved:
    ticket_id: UUID
    ready_at: datetime


@dataclass(frozen=True, kw_only=True)
class OrderRejected:
    reason: str


@dataclass(frozen=True, kw_only=True)
class OrderCancelled:
    reason: str


@dataclass(frozen=True, kw_only=True)
class OrderShipped:
    courier: str


@dataclass(frozen=True, kw_only=True)
class OrderDelivered:
    received_by: str


Decision = OrderApproved | OrderRejected | OrderShipped | OrderDelivered
OrderFact = OrderPlaced | OrderPaid | OrderCancelled | Decision


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the order's events say to its restaurant."""

    status: Status = Status.PENDING
    placed: OrderPlaced | None = None
    paid_by: UUID | None = None
    ready_at: datetime | None = None
    reason: str = ""
    courier: str = ""
    received_by: str = ""


@dataclass(frozen=True, kw_only=True)
class ApproveTicket:
    ticket_id: UUID
    ready_at: datetime


@dataclass(frozen=True, kw_only=True)
class RejectTicket:
    reason: str


@dataclass(frozen=True, kw_only=True)
class ShipTicket:
    courier: str


@dataclass(frozen=True, kw_only=True)
class DeliverTicket:
    received_by: str


Command = ApproveTicket | RejectTicket | ShipTicket | DeliverTicket


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a restaurant takes orders at the moment."""

    is_open: bool
    accepts_automatically: bool
    preparation: timedelta


class TicketRefusal(Exception):
    """The ticket does not take this command."""

    def __init__(self, status: Status) -> None:
        super().__init__(f"{(self.__doc__ or '').rstrip('.')}: it is {status}.")
        self.status = status


class TicketNotPaid(TicketRefusal):
    """The order is not paid yet."""


class TicketAlreadyAnswered(TicketRefusal):
    """The order can't be answered any more."""


class TicketNotApproved(TicketRefusal):
    """Only an approved order can be shipped."""


class TicketNotShipped(TicketRefusal):
    """Only a shipped order can be delivered."""


class WordsMissing(ValueError):
    """Say it in 1 to 200 characters, without line breaks or other control characters."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def fold(facts: Iterable[OrderFact]) -> Order:
    """The order after these facts, in the log's order."""
    return reduce(evolve, facts, Order())


def decide(command: Command, order: Order) -> Decision:
    """What comes of a command.

    Raises:
        TicketRefusal: its subclass for the reason.
        WordsMissing: a text in it is empty, too long or not printable.
    """
    match command:
        case ApproveTicket(ticket_id=ticket_id, ready_at=ready_at):
            _check_answerable(order)
            return OrderApproved(ticket_id=ticket_id, ready_at=ready_at)
        case RejectTicket(reason=reason):
            _check_answerable(order)
            return OrderRejected(reason=_words(reason))
        case ShipTicket(courier=courier):
            if order.status is not Status.APPROVED:
                raise TicketNotApproved(order.status)
            return OrderShipped(courier=_words(courier))
        case DeliverTicket(received_by=received_by):
            if order.status is not Status.SHIPPED:
                raise TicketNotShipped(order.status)
            return OrderDelivered(received_by=_words(received_by))
    assert_never(command)


def first_answer(
    order: Order, terms: Terms | None, ticket_id: UUID, paid_at: datetime
) -> Decision | None:
    """What a paid order is answered at once; None if it waits for a person or needs no answer.

    Args:
        terms: of its restaurant; None if there is no such restaurant.
    """
    if order.status is not Status.PAID:
        return None
    if terms is None:
        return OrderRejected(reason="unknown-restaurant")
    if not terms.is_open:
        return OrderRejected(reason="restaurant-closed")
    if not terms.accepts_automatically:
        return None
    return OrderApproved(ticket_id=ticket_id, ready_at=paid_at + terms.preparation)


def ticket_id_of(paid_by: UUID) -> UUID:
    """The ticket of the order that the event `paid_by` paid."""
    return uuid5(paid_by, "restaurant.ticket")


def _check_answerable(order: Order) -> None:
    if order.status is Status.PENDING:
        raise TicketNotPaid(order.status)
    if order.status is not Status.PAID:
        raise TicketAlreadyAnswered(order.status)


def _words(text: str) -> str:
    words = text.strip()
    if not 1 <= len(words) <= MAX_WORDS_LENGTH or not words.isprintable():
        raise WordsMissing
    return words


def evolve(order: Order, fact: OrderFact) -> Order:
    """The order after one more fact.

    The log is what happened; only what can't follow on the order's status is left aside.
    """
    match fact:
        case OrderPlaced():
            return replace(order, placed=order.placed or fact)
        case OrderPaid(event_id):
            paid = replace(order, paid_by=order.paid_by or event_id)
            return _moved(paid, Status.PAID, after={Status.PENDING})
        case OrderApproved(ready_at=ready_at):
            return _moved(order, Status.APPROVED, after={Status.PAID}, ready_at=ready_at)
        case OrderRejected(reason=reason):
            return _moved(order, Status.REJECTED, after=_ANSWERABLE, reason=reason)
        case OrderCancelled(reason=reason):
            return _moved(order, Status.CANCELLED, after=_ANSWERABLE, reason=reason)
        case OrderShipped(courier=courier):
            return _moved(order, Status.SHIPPED, after={Status.APPROVED}, courier=courier)
        case OrderDelivered(received_by=received_by):
            delivered = {Status.SHIPPED}
            return _moved(order, Status.DELIVERED, after=delivered, received_by=received_by)
    assert_never(fact)


_ANSWERABLE = {Status.PENDING, Status.PAID}


def _moved(order: Order, status: Status, *, after: set[Status], **fields: Any) -> Order:
    return replace(order, status=status, **fields) if order.status in after else order
