"""What payments does about an order's events: takes the money once, and gives it back once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import assert_never

from eventstore.client import Event, EventIdConflict, EventStore, NewEvent, RetryLater
from payments import messages, rows
from payments.domain import (
    Charge,
    Nothing,
    Order,
    OrderPlaced,
    Refund,
    Withhold,
    evolve,
    next_step,
)
from payments.gateways import port
from payments.gateways.port import PaymentGateway
from payments.models import Payment
from payments.outages import LONGEST_DELAY_SECONDS, translated

Clock = Callable[[], datetime]
# Longer than a request that we gave up on can stay on its way: our timeout, and the time for
# which the network and the provider may still hold it.
IN_FLIGHT = timedelta(seconds=120)


class ContradictingOutcome(Exception):
    """The log and the gateway say different things about the same payment."""


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class _Seen:
    """The order as its events up to a version tell it."""

    order: Order
    version: int


def take_payment(
    cause: Event, *, store: EventStore, gateway: PaymentGateway, clock: Clock = utc_now
) -> None:
    """Take the money for the order that `cause` is of; or, if it closed first, see what was taken.

    Raises:
        RetryLater: the outcome is not known yet.
        TransientError: gateway or event store are away.
        ContradictingOutcome: the gateway did something else than it was asked for.
        GatewayRejectedRequest: the order closed meanwhile, and the provider will not refund.
    """
    history = store.read_aggregate(cause.aggregate_id)
    seen = _seen(history)
    outcome: NewEvent | None = None
    match next_step(seen.order):
        case Charge(placed):
            outcome = _charge(_created(history, placed), placed, gateway, clock)
        case Withhold(placed):
            outcome = _settle_withheld(_created(history, placed), placed, gateway, clock)
        case Refund() | Nothing():
            pass
    if outcome is not None:
        seen = _record(outcome, seen, store)
    _settle(cause, seen, store, gateway, clock)


def refund_payment(
    cause: Event, *, store: EventStore, gateway: PaymentGateway, clock: Clock = utc_now
) -> None:
    """Give a closed order's money back, whichever event brought it to notice.

    Raises:
        as `take_payment`.
    """
    seen = _seen(store.read_aggregate(cause.aggregate_id))
    order = seen.order
    if messages.is_own_outcome(cause, order) and not order.closed and not order.refunds:
        return  # the reaction that appended it is not done before the rows show it
    _settle(cause, seen, store, gateway, clock)


def record_charge(
    created: Event, payment: Payment, charge: port.Charge, *, store: EventStore
) -> None:
    """Append that the money was taken, whatever became of the order meanwhile."""
    _append(_debited(created, payment, charge), store)


def _charge(
    created: Event, placed: OrderPlaced, gateway: PaymentGateway, clock: Clock
) -> NewEvent | None:
    """Charge, and say as an event what came of it; None if the payment was given up."""
    now = clock()
    payment = rows.ask_for_charge(created.aggregate_id, placed, now)
    if payment is None:
        return None
    with translated(gateway, waited=now - payment.created_at):
        return _outcome(created, payment, gateway)


def _outcome(created: Event, payment: Payment, gateway: PaymentGateway) -> NewEvent:
    request = port.ChargeRequest(
        idempotency_key=str(payment.pk),
        order_id=payment.order_id,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
    )
    try:
        return _debited(created, payment, gateway.charge(request))
    except port.PaymentDeclined as declined:
        return messages.payment_failed(created, declined.code, declined.reason)
    except port.GatewayRefusedCredentials:
        raise
    except port.GatewayRejectedRequest as rejected:
        # This request took nothing, but an earlier one under the same key may have.
        if gateway.find_charge(request.idempotency_key) is not None:
            raise ContradictingOutcome(rejected.code) from rejected
        return messages.payment_failed(created, rejected.code, rejected.reason)


def _debited(created: Event, payment: Payment, charge: port.Charge) -> NewEvent:
    if (charge.amount_minor, charge.currency) != (payment.amount_minor, payment.currency):
        raise ContradictingOutcome(f"charge {charge.reference} is of another amount")
    return messages.payment_debited(
        created, payment.pk, payment.amount, payment.provider, charge.reference
    )


def _settle_withheld(
    created: Event, placed: OrderPlaced, gateway: PaymentGateway, clock: Clock
) -> NewEvent | None:
    """Find out what became of a charge that was asked for before the order closed.

    Charging again would tell at once, but after an outage it would take and give back the money
    of every order that timed out in it. So the gateway is only asked what it has, until no request
    of ours can be on its way any more.
    """
    payment = rows.requested_payment(placed)
    if payment is None:
        return None
    now = clock()
    with translated(gateway, waited=now - payment.created_at):
        charge = gateway.find_charge(str(payment.pk))
    if charge is not None:
        return _debited(created, payment, charge)
    if (left := payment.asked_at + IN_FLIGHT - now) > timedelta(0):
        raise RetryLater(
            "a charge may still be on its way",
            delay_seconds=min(left.total_seconds(), LONGEST_DELAY_SECONDS),
        )
    rows.abandon(payment, now)
    return None


def _settle(
    cause: Event, seen: _Seen, store: EventStore, gateway: PaymentGateway, clock: Clock
) -> None:
    """Bring the rows up to the order, and give its money back if it closed."""
    rows.follow(cause.aggregate_id, seen.order, seen.version, clock())
    step = next_step(seen.order)
    match step:
        case Refund():
            refunded = _record(_refund(cause, step, gateway, clock), seen, store)
            rows.follow(cause.aggregate_id, refunded.order, refunded.version, clock())
        case Charge() | Withhold() | Nothing():
            pass
        case _:
            assert_never(step)


def _refund(cause: Event, step: Refund, gateway: PaymentGateway, clock: Clock) -> NewEvent:
    now = clock()
    refund = rows.ask_for_refund(cause.aggregate_id, step, now)
    request = port.RefundRequest(
        idempotency_key=str(refund.pk),
        charge_reference=step.debit.provider_reference,
        amount_minor=refund.amount_minor,
        currency=refund.currency,
        reason="order closed",
    )
    with translated(gateway, waited=now - refund.created_at):
        try:
            refunded = gateway.refund(request)
        except port.GatewayRefusedCredentials:
            raise
        except port.GatewayRejectedRequest as rejected:
            rows.refuse(refund, rejected.code, rejected.reason, now)
            raise
    if (refunded.amount_minor, refunded.currency) != (refund.amount_minor, refund.currency):
        raise ContradictingOutcome(f"refund {refunded.reference} is of another amount")
    return messages.payment_refunded(
        cause, step.debit, refund.pk, refund.amount, refunded.reference
    )


def _record(event: NewEvent, seen: _Seen, store: EventStore) -> _Seen:
    """Append a fact, once, whatever became of the order since it was seen; the order with it."""
    version = _append(event, store)
    if version == seen.version + 1:
        # Nothing came between: the order is what was seen, and this.
        return _Seen(evolve(seen.order, messages.fact_in(event)), version)
    return _seen(store.read_aggregate(event.aggregate_id))


def _append(event: NewEvent, store: EventStore) -> int:
    """The fact's version; the one that an earlier run appended must say the same."""
    try:
        (version,) = store.append([event]).versions
    except EventIdConflict as conflict:
        raise ContradictingOutcome("another outcome stands in the log") from conflict
    return version


def _seen(history: Sequence[Event]) -> _Seen:
    return _Seen(messages.read_order(history), len(history))


def _created(history: list[Event], placed: OrderPlaced) -> Event:
    return next(event for event in history if event.event_id == placed.event_id)


REACTIONS: dict[str, Callable[..., None]] = {
    messages.ORDER_CREATED: take_payment,
    messages.PAYMENT_DEBITED: refund_payment,
    messages.ORDER_REJECTED: refund_payment,
    messages.ORDER_CANCELLED: refund_payment,
}
