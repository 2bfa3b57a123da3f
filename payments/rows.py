"""The only writer of payment and refund rows. Each function commits before it returns, but those
that take rows back, which are part of a larger transaction.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from orders_site.gathering import Upsert
from orders_site.money import Money
from orders_site.transactions import committed
from payments import domain
from payments.models import Payment, Refund

DATABASE = "payments"
PROVIDER = "sandbox"
# What the gateway is to be asked for again keeps its first amount.
_ASKED = ("asked_at", "updated_at")
_FIRST = ("amount_minor", "currency", "provider", "created_at")
_FOLLOWS = ("state", "provider_reference", "code", "reason", "version", "updated_at")
_charges = Upsert(
    Payment, DATABASE, changes=_ASKED, when="stored.state <> 'abandoned'", returning=_FIRST
)
_payments = Upsert(
    Payment, DATABASE, changes=("provider", *_FOLLOWS), when="stored.version < excluded.version"
)
_refunds_asked = Upsert(
    Refund, DATABASE, changes=_ASKED, returning=("amount_minor", "currency", "created_at")
)
_refunds = Upsert(Refund, DATABASE, changes=_FOLLOWS, when="stored.state <> 'refunded'")


def ask_for_charge(order_id: str, placed: domain.OrderPlaced, now: datetime) -> Payment | None:
    """The order's payment, on record as asked for at `now`; None if it was given up."""
    payment = _payment(order_id, domain.payment_id_of(placed), placed.amount, now)
    return payment if _charges.write(payment) else None


def ask_for_refund(order_id: str, step: domain.Refund, now: datetime) -> Refund:
    """The debit's refund, on record as asked for at `now`; its first amount stays.

    The rows must have been brought up to the debit (`follow`).
    """
    debit = step.debit
    refund_id = domain.refund_id_of(debit)
    refund = _refund(debit.payment_id, order_id, refund_id, step.amount, now)
    _refunds_asked.write(refund)
    return refund


def requested_payment(placed: domain.OrderPlaced) -> Payment | None:
    """The order's payment if the gateway was asked for it and the outcome is not known."""
    requested = Payment.State.REQUESTED
    return Payment.objects.filter(pk=domain.payment_id_of(placed), state=requested).first()


def abandon(payment: Payment, now: datetime) -> None:
    """Give a payment up, unless someone asked the gateway for it since the row was read."""
    unchanged = Payment.objects.filter(
        pk=payment.pk, state=Payment.State.REQUESTED, asked_at=payment.asked_at
    )
    committed(DATABASE, lambda: unchanged.update(state=Payment.State.ABANDONED, updated_at=now))


def refuse(refund: Refund, code: str, reason: str, now: datetime) -> None:
    """The provider will not give this money back."""
    pending = Refund.objects.filter(pk=refund.pk, state=Refund.State.REQUESTED)
    fields = {"code": code[:100], "reason": reason, "updated_at": now}
    committed(DATABASE, lambda: pending.update(state=Refund.State.REFUSED, **fields))


def follow(order_id: str, order: domain.Order, version: int, now: datetime) -> None:
    """Bring the order's rows up to its log at `version`; a later state is never undone.

    Within the caller's transaction, if there is one.
    """
    payment = _outcome(order_id, order, now)
    if payment is None:
        return
    payment.version = version
    _payments.write(payment)
    for refunded in order.refunds:
        _refunds.write(_refunded(payment, refunded, version, now))


def go_back(payment: Payment, order: domain.Order, version: int, now: datetime) -> int:
    """Make the payment and its refunds what the log says at `version`, which may be less than they
    were; how many refunds that were made it does not know. Within the caller's transaction.

    The outcome at the gateway is to be asked for again.
    """
    payment.state, payment.version, payment.updated_at = Payment.State.REQUESTED, 0, now
    payment.provider_reference = payment.code = payment.reason = ""
    payment.save()
    known = [refunded.refund_id for refunded in order.refunds]
    lost = payment.refunds.filter(state=Refund.State.REFUNDED).exclude(pk__in=known)
    refunds = lost.update(
        state=Refund.State.REQUESTED, provider_reference="", version=0, updated_at=now
    )
    follow(payment.order_id, order, version, now)
    payment.refresh_from_db()
    return refunds


def forget_versions(payment: Payment) -> None:
    """The order is not in the log any more: should it come back, its versions begin anew; within
    the caller's transaction.
    """
    Payment.objects.filter(pk=payment.pk).update(version=0)
    payment.refunds.update(version=0)


def _outcome(order_id: str, order: domain.Order, now: datetime) -> Payment | None:
    """The payment as the order tells it; None while it tells nothing."""
    if order.debit is not None:
        payment = _payment(order_id, order.debit.payment_id, order.debit.amount, now)
        payment.state = _debited_state(order.debit, order.refunded_minor)
        payment.provider = order.debit.provider
        payment.provider_reference = order.debit.provider_reference
    elif order.failure is not None and order.placed is not None:
        placed = order.placed
        payment = _payment(order_id, domain.payment_id_of(placed), placed.amount, now)
        payment.state = Payment.State.FAILED
    else:
        return None
    if order.failure is not None:
        payment.code, payment.reason = order.failure.code[:100], order.failure.reason
    return payment


def _payment(order_id: str, payment_id: UUID, amount: Money, now: datetime) -> Payment:
    return Payment(
        id=payment_id,
        order_id=order_id,
        amount_minor=amount.minor,
        currency=amount.currency,
        provider=PROVIDER,
        asked_at=now,
        created_at=now,
        updated_at=now,
    )


def _refund(
    payment_id: UUID, order_id: str, refund_id: UUID, amount: Money, now: datetime
) -> Refund:
    return Refund(
        id=refund_id,
        payment_id=payment_id,
        order_id=order_id,
        amount_minor=amount.minor,
        currency=amount.currency,
        asked_at=now,
        created_at=now,
        updated_at=now,
    )


def _refunded(
    payment: Payment, refunded: domain.PaymentRefunded, version: int, now: datetime
) -> Refund:
    refund = _refund(payment.pk, payment.order_id, refunded.refund_id, refunded.amount, now)
    refund.state = Refund.State.REFUNDED
    refund.provider_reference = refunded.provider_reference
    refund.version = version
    return refund


def _debited_state(debit: domain.PaymentDebited, refunded: int) -> Any:
    if refunded <= 0:
        return Payment.State.DEBITED
    if refunded < debit.amount.minor:
        return Payment.State.PARTIALLY_REFUNDED
    return Payment.State.REFUNDED
