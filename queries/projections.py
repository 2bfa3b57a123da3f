"""The one fold from an order's events to its row, and what a row contributes to the summaries.

Projector, rebuild, verification and the order that is read from the log all use it.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple, assert_never
from uuid import UUID

from eventstore.client import Event, UnknownSchemaVersion
from queries.messages import (
    Fact,
    Item,
    MalformedEvent,
    OrderApproved,
    OrderCancelled,
    OrderCreated,
    OrderDelivered,
    OrderRejected,
    OrderShipped,
    PaymentDebited,
    PaymentFailed,
    PaymentRefunded,
    read,
)

# What stops a fold.
UNREADABLE = (UnknownSchemaVersion, MalformedEvent)
# The columns' bound; one order would need thousands of the largest debits to come there.
MAX_SUM_MINOR = 2**63 - 1
STATUSES = ("pending", "paid", "approved", "shipped", "delivered", "rejected", "cancelled")
PAYMENT_STATUSES = ("none", "debited", "failed", "partially_refunded", "refunded")

# From which statuses each may be reached. What the log holds beyond that is no transition: it
# advances the version only, so that a late or repeated event can't move an order.
_REACHED_FROM: Mapping[str, frozenset[str]] = {
    "paid": frozenset({"pending"}),
    "approved": frozenset({"paid"}),
    "shipped": frozenset({"approved"}),
    "delivered": frozenset({"shipped"}),
    "rejected": frozenset({"pending", "paid"}),
    "cancelled": frozenset({"pending", "paid"}),
}


class OrderView(NamedTuple):
    """An order as its readers see it: the fold of its events up to `version`.

    Amounts are minor units of `currency`; `updated_at` and `position` are those of the last
    event; `reason` is why it was rejected or cancelled. A named tuple, because a rebuild makes one
    for each event, and a dataclass of so many fields costs several times as much to copy.
    """

    order_id: str
    api_client: UUID | None
    customer_id: str
    restaurant_id: str
    status: str
    payment_status: str
    amount_minor: int
    currency: str
    created_on: datetime
    updated_at: datetime
    reason: str
    debited_minor: int
    refunded_minor: int
    version: int
    position: int
    items: tuple[Item, ...] = ()

    def with_changes(self, changes: Mapping[str, Any]) -> "OrderView":
        """As `_replace`, at a third of its cost."""
        values = list(self)
        for name, value in changes.items():
            values[_PLACES[name]] = value
        return tuple.__new__(OrderView, values)


_PLACES = {name: place for place, name in enumerate(OrderView._fields)}


class SummaryKey(NamedTuple):
    """What orders are counted by; `kind` says whose `key` it is: customer or restaurant."""

    kind: str
    key: str
    day: date
    status: str
    currency: str


def apply(view: OrderView | None, event: Event) -> OrderView | None:
    """The view after its next event; None as long as there is no order.

    Events of an unknown type advance the version; those before `order-created` are no order's.

    Raises:
        UnknownSchemaVersion: the type is known, its data is of another schema.
        MalformedEvent: the event can't be read, or what it adds up to can't be stored.
    """
    fact = read(event)
    if view is None:
        return _created(event, fact) if isinstance(fact, OrderCreated) else None
    changes = _changes(view, fact)
    changes["version"] = event.version
    changes["position"] = event.position
    changes["updated_at"] = event.recorded_at
    return view.with_changes(changes)


def fold(events: Iterable[Event], view: OrderView | None = None) -> OrderView | None:
    """Apply events in turn; raises as `apply`."""
    for event in events:
        view = apply(view, event)
    return view


def fold_readable(events: Iterable[Event], view: OrderView | None = None) -> OrderView | None:
    """The view up to the first event that can't be read, as the row of a parked order is."""
    for event in events:
        try:
            view = apply(view, event)
        except UNREADABLE:
            break
    return view


def contribution(view: OrderView | None) -> dict[SummaryKey, tuple[int, int]]:
    """What the order adds to the summaries: key -> (orders, amount in minor units)."""
    if view is None:
        return {}
    owners = (("customer", view.customer_id), ("restaurant", view.restaurant_id))
    day = view.created_on.date()
    return {
        SummaryKey(kind, key, day, view.status, view.currency): (1, view.amount_minor)
        for kind, key in owners
    }


def _changes(view: OrderView, fact: Fact | None) -> dict[str, Any]:
    """The fields of the view that the fact changes."""
    match fact:
        case None | OrderCreated():
            return {}
        case PaymentDebited(amount):
            return _money(view, debited=amount.minor) | _move(view, "paid")
        case PaymentFailed():
            return {} if view.debited_minor else {"payment_status": "failed"}
        case PaymentRefunded(amount):
            return _money(view, refunded=amount.minor)
        case OrderApproved():
            return _move(view, "approved")
        case OrderRejected(reason):
            return _move(view, "rejected", reason)
        case OrderCancelled(reason):
            return _move(view, "cancelled", reason)
        case OrderShipped():
            return _move(view, "shipped")
        case OrderDelivered():
            return _move(view, "delivered")
        case _:
            assert_never(fact)


def _money(view: OrderView, debited: int = 0, refunded: int = 0) -> dict[str, Any]:
    """Money moved; without a debit the payment status has nothing to say about it."""
    debited, refunded = view.debited_minor + debited, view.refunded_minor + refunded
    if max(debited, refunded) > MAX_SUM_MINOR:
        raise MalformedEvent("more money moved than can be stored")
    if not debited:
        status = view.payment_status
    elif not refunded:
        status = "debited"
    else:
        status = "partially_refunded" if debited > refunded else "refunded"
    return {"debited_minor": debited, "refunded_minor": refunded, "payment_status": status}


def _move(view: OrderView, status: str, reason: str = "") -> dict[str, Any]:
    if view.status not in _REACHED_FROM[status]:
        return {}
    return {"status": status, "reason": reason}


def _created(event: Event, created: OrderCreated) -> OrderView:
    return OrderView(
        order_id=event.aggregate_id,
        api_client=created.api_client,
        customer_id=created.customer_id,
        restaurant_id=created.restaurant_id,
        status="pending",
        payment_status="none",
        amount_minor=created.total.minor,
        currency=created.total.currency,
        created_on=created.created_on,
        updated_at=event.recorded_at,
        reason="",
        debited_minor=0,
        refunded_minor=0,
        version=event.version,
        position=event.position,
        items=created.items,
    )
