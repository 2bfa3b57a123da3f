"""What payments does about an order's events: takes the money once, and gives it back once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import assert_never

from eventstore.client import Event, EventStore, NewEvent, RetryLater, execute
from payments import messages, rows
from payments.domain import Charge, Nothing, OrderPlaced, Refund, Step, Withhold, next_step
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


def take_payment(
    cause: Event, *, store: EventStore, gateway: PaymentGateway, clock: Clock = utc_now
) -> None:
    """Take the money for the order that `cause` is of; or, if it closed first, see what was taken.

    Raises:
        RetryLater: the outcome is not known yet.
        TransientError: gateway or event store are away.
        ContradictingOutcome: the gateway did something else than it was asked for.
    """
    history = store.read_aggregate(cause.aggregate_id)
    match next_step(messages.read_order(history)):
        case Charge(placed):
            _charge(_created(history, placed), placed, store, gateway, clock)
        case Withhold(placed):
            _settle_withheld(_created(history, placed), placed, store, gateway, clock)
        case Refund() | Nothing():
            pass
    refund_payment(cause, store=store, gateway=gateway, clock=clock)


def refund_payment(
    cause: Event, *, store: EventStore, gateway: PaymentGateway, clock: Clock = utc_now
) -> None:
    """Give a closed order's money back, whichever event brought it to notice.

    Raises:
        as `take_payment`; GatewayRejectedRequest: the provider will not refund.
    """
    step = _follow(cause.aggregate_id, store, clock)
    match step:
        case Refund():
            _refund(cause, step, store, gateway, clock)
            _follow(cause.aggregate_id, store, clock)
        case Charge() | Withhold() | Nothing():
            pass
        case _:
            assert_never(step)


def record_charge(
    created: Event, payment: Payment, charge: port.Charge, *, store: EventStore
) -> None:
    """Append that the money was taken, whatever became of the order meanwhile."""
    _record(_debited(created, payment, charge), store)


def _charge(
    created: Event, placed: OrderPlaced, store: EventStore, gateway: PaymentGateway, clock: Clock
) -> None:
    now = clock()
    payment = rows.ask_for_charge(created.aggregate_id, placed, now)
    if payment is None:
        return
    with translated(gateway, waited=now - payment.created_at):
        outcome = _outcome(created, payment, gateway)
    _record(outcome, store)


def _outcome(created: Event, payment: Payment, gateway: PaymentGateway) -> NewEvent:
    """Charge, and say as an event what came of it."""
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
    created: Event, placed: OrderPlaced, store: EventStore, gateway: PaymentGateway, clock: Clock
) -> None:
    """Find out what became of a charge that was asked for before the order closed.

    Charging again would tell at once, but after an outage it would take and give back the money
    of every order that timed out in it. So the gateway is only asked what it has, until no request
    of ours can be on its way any more.
    """
    payment = rows.requested_payment(placed)
    if payment is None:
        return
    now = clock()
    with translated(gateway, waited=now - payment.created_at):
        charge = gateway.find_charge(str(payment.pk))
    if charge is not None:
        record_charge(created, payment, charge, store=store)
    elif (left := payment.asked_at + IN_FLIGHT - now) > timedelta(0):
        raise RetryLater(
            "a charge may still be on its way",
            delay_seconds=min(left.total_seconds(), LONGEST_DELAY_SECONDS),
        )
    else:
        rows.abandon(payment, now)


def _refund(
    cause: Event, step: Refund, store: EventStore, gateway: PaymentGateway, clock: Clock
) -> None:
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
    _record(
        messages.payment_refunded(cause, step.debit, refund.pk, refund.amount, refunded.reference),
        store,
    )


def _record(event: NewEvent, store: EventStore) -> None:
    """Append a fact, once; the one that an earlier run appended must say the same."""
    executed = execute(store, event.aggregate_id, lambda _: [event], guarded=False)
    (recorded,) = executed.events
    if (recorded.event_type, recorded.data) != (event.event_type, event.data):
        raise ContradictingOutcome(f"{recorded.event_type} stands in the log")


def _follow(order_id: str, store: EventStore, clock: Clock) -> Step:
    """Bring the rows up to the log; what is to be done next."""
    history = store.read_aggregate(order_id)
    order = messages.read_order(history)
    if history:
        rows.follow(order_id, order, history[-1].version, clock())
    return next_step(order)


def _created(history: list[Event], placed: OrderPlaced) -> Event:
    return next(event for event in history if event.event_id == placed.event_id)


REACTIONS: dict[str, Callable[..., None]] = {
    messages.ORDER_CREATED: take_payment,
    messages.PAYMENT_DEBITED: refund_payment,
    messages.ORDER_REJECTED: refund_payment,
    messages.ORDER_CANCELLED: refund_payment,
}
