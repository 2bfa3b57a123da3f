"""The wire vocabulary of payments: the events it publishes, and what it reads of an order's."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from eventstore.client import (
    Event,
    NewEvent,
    metadata_for,
    reaction_id,
    to_json,
)
from eventstore.client.upcasting import Upcasters, upcasted
from orders_site.money import Money
from payments import domain
from payments.domain import OrderFact, OrderPlaced, PaymentDebited

ORDER = "order"
ORDER_CREATED = "order-created"
ORDER_REJECTED = "order-rejected"
ORDER_CANCELLED = "order-cancelled"
PAYMENT_DEBITED = "order-payment-debited"
PAYMENT_FAILED = "order-payment-failed"
PAYMENT_REFUNDED = "order-payment-refunded"
SCHEMA_VERSION = 1
# Event type -> the steps of its data from schema version 1 to 2, from 2 to 3, and so on.
UPCASTERS: Upcasters = {}
ACTOR = "payments"
MAX_CODE_LENGTH = 100
MAX_REASON_LENGTH = 500
# Neither NUL nor half a surrogate pair can be stored as text.
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
# What data can do to its reader: numbers beyond bounds and nesting beyond the stack included.
_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


class MalformedEvent(ValueError):
    """The event's data lacks what its type promises."""


def read_order(history: Iterable[Event]) -> domain.Order:
    """The order that these events, all of it in version order, tell of.

    Raises:
        MalformedEvent: an event that payments knows can't be read.
        UnknownSchemaVersion: or is of a later schema.
    """
    facts = map(fact_of, history)
    return domain.fold(fact for fact in facts if fact is not None)


def fact_of(event: Event) -> OrderFact | None:
    """What the event says to payments; None for what is of no order, or of a type not read here."""
    if event.aggregate_type != ORDER or event.event_type not in _READERS:
        return None
    try:
        event = upcasted(event, UPCASTERS)
        return _READERS[event.event_type](event, event.payload)
    except _UNREADABLE as error:
        raise MalformedEvent(f"{event.event_type} {event.event_id}: {error!r}") from error


def fact_in(event: NewEvent) -> OrderFact:
    """What an event of payments' own will say once it is recorded."""
    return _READERS[event.event_type](event, json.loads(event.data))


def is_own_outcome(event: Event, order: domain.Order) -> bool:
    """Whether the event is what payments appended about the charge of the order."""
    return order.placed is not None and event.event_id == _outcome_id(order.placed.event_id)


def payment_debited(
    created: Event, payment_id: UUID, amount: Money, provider: str, reference: str
) -> NewEvent:
    """The money of the order placed by `created` was taken."""
    data = {
        "payment_id": str(payment_id),
        "amount": str(amount),
        "currency": amount.currency,
        "provider": provider,
        "provider_reference": reference,
    }
    return _event(created, _outcome_id(created.event_id), PAYMENT_DEBITED, data)


def payment_failed(created: Event, code: str, reason: str) -> NewEvent:
    """No money was taken for the order placed by `created`, and none will be."""
    data = {"code": code[:MAX_CODE_LENGTH], "reason": reason[:MAX_REASON_LENGTH]}
    return _event(created, _outcome_id(created.event_id), PAYMENT_FAILED, data)


def payment_refunded(
    cause: Event, debit: PaymentDebited, refund_id: UUID, amount: Money, reference: str
) -> NewEvent:
    """The debit was given back; its id depends on the debit alone, whatever the cause was."""
    data = {
        "refund_id": str(refund_id),
        "amount": str(amount),
        "currency": amount.currency,
        "provider_reference": reference,
    }
    event_id = reaction_id(debit.event_id, "payments.refund_payment")
    return _event(cause, event_id, PAYMENT_REFUNDED, data)


def _outcome_id(created: UUID) -> UUID:
    return reaction_id(created, "payments.take_payment")


def _event(cause: Event, event_id: UUID, event_type: str, data: dict[str, Any]) -> NewEvent:
    return NewEvent(
        event_id=event_id,
        event_type=event_type,
        aggregate_id=cause.aggregate_id,
        aggregate_type=cause.aggregate_type,
        data=to_json(data),
        metadata=metadata_for(actor=ACTOR, schema_version=SCHEMA_VERSION, cause=cause),
        stream=cause.stream,
    )


def _text(value: Any) -> str:
    return _UNSTORABLE.sub("\ufffd", str(value))


def _amount(data: dict[str, Any]) -> Money:
    return Money.parse(data["amount"], data["currency"])


def _placed(event: Event | NewEvent, data: dict[str, Any]) -> OrderPlaced:
    return OrderPlaced(event_id=event.event_id, amount=_amount(data))


def _debited(event: Event | NewEvent, data: dict[str, Any]) -> PaymentDebited:
    return PaymentDebited(
        event_id=event.event_id,
        payment_id=UUID(data["payment_id"]),
        amount=_amount(data),
        provider=_text(data["provider"]),
        provider_reference=_text(data["provider_reference"]),
    )


def _failed(event: Event | NewEvent, data: dict[str, Any]) -> domain.PaymentFailed:
    return domain.PaymentFailed(code=_text(data["code"]), reason=_text(data["reason"]))


def _refunded(event: Event | NewEvent, data: dict[str, Any]) -> domain.PaymentRefunded:
    return domain.PaymentRefunded(
        refund_id=UUID(data["refund_id"]),
        amount=_amount(data),
        provider_reference=_text(data["provider_reference"]),
    )


def _closed(event: Event | NewEvent, data: dict[str, Any]) -> domain.OrderClosed:
    return domain.OrderClosed()


_READERS: dict[str, Callable[[Event | NewEvent, dict[str, Any]], OrderFact]] = {
    ORDER_CREATED: _placed,
    PAYMENT_DEBITED: _debited,
    PAYMENT_FAILED: _failed,
    PAYMENT_REFUNDED: _refunded,
    ORDER_REJECTED: _closed,
    ORDER_CANCELLED: _closed,
}
