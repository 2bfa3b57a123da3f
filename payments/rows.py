"""The only writer of payment and refund rows. Each function commits before it returns, but those
that take rows back, which are part of a larger transaction.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from orders_site.money import Money
from orders_site.transactions import committed
from payments import domain
from payments.models import Payment, Refund

DATABASE = "payments"
PROVIDER = "sandbox"


def ask_for_charge(order_id: str, placed: domain.OrderPlaced, now: datetime) -> Payment | None:
    """The order's payment, on record as asked for at `now`; None if it was given up."""
    return committed(DATABASE, lambda: _asked_payment(order_id, placed, now))


def ask_for_refund(order_id: str, step: domain.Refund, now: datetime) -> Refund:
    """The debit's refund, on record as asked for at `now`; its first amount stays."""
    return committed(DATABASE, lambda: _asked_refund(order_id, step, now))


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
    """Bring the order's rows up to its log at `version`; a later state is never undone."""
    if order.debit is not None or order.failure is not None:
        committed(DATABASE, lambda: _follow(order_id, order, version, now))


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
    _follow(payment.order_id, order, version, now)
    payment.refresh_from_db()
    return refunds


def forget_versions(payment: Payment) -> None:
    """The order is not in the log any more: should it come back, its versions begin anew; within
    the caller's transaction.
    """
    Payment.objects.filter(pk=payment.pk).update(version=0)
    payment.refunds.update(version=0)


def _follow(order_id: str, order: domain.Order, version: int, now: datetime) -> None:
    match order:
        case domain.Order(debit=domain.PaymentDebited() as debit):
            fields = _debited_fields(debit, order.refunded_minor)
            payment_id, amount = debit.payment_id, debit.amount
        case domain.Order(
            placed=domain.OrderPlaced() as placed, failure=domain.PaymentFailed() as f
        ):
            fields = {"state": Payment.State.FAILED, "code": f.code[:100], "reason": f.reason}
            payment_id, amount = domain.payment_id_of(placed), placed.amount
        case _:
            return
    payment = _payment(order_id, payment_id, amount, now)
    behind = Payment.objects.filter(pk=payment.pk, version__lt=version)
    behind.update(version=version, updated_at=now, **fields)
    for refunded in order.refunds:
        _follow_refund(payment, refunded, version, now)


def _asked_payment(order_id: str, placed: domain.OrderPlaced, now: datetime) -> Payment | None:
    payment = _payment(order_id, domain.payment_id_of(placed), placed.amount, now)
    if payment.state == Payment.State.ABANDONED:
        return None
    if payment.asked_at != now:
        Payment.objects.filter(pk=payment.pk).update(asked_at=now, updated_at=now)
    return payment


def _asked_refund(order_id: str, step: domain.Refund, now: datetime) -> Refund:
    debit = step.debit
    payment = _payment(order_id, debit.payment_id, debit.amount, now)
    refund = _refund(payment, domain.refund_id_of(debit), step.amount, now)
    if refund.asked_at != now:
        Refund.objects.filter(pk=refund.pk).update(asked_at=now, updated_at=now)
    return refund


def _payment(order_id: str, payment_id: UUID, amount: Money, now: datetime) -> Payment:
    payment, _ = Payment.objects.get_or_create(
        pk=payment_id,
        defaults={
            "order_id": order_id,
            "amount_minor": amount.minor,
            "currency": amount.currency,
            "provider": PROVIDER,
            "asked_at": now,
            "created_at": now,
            "updated_at": now,
        },
    )
    return payment


def _refund(payment: Payment, refund_id: UUID, amount: Money, now: datetime) -> Refund:
    refund, _ = Refund.objects.get_or_create(
        pk=refund_id,
        defaults={
            "payment": payment,
            "order_id": payment.order_id,
            "amount_minor": amount.minor,
            "currency": amount.currency,
            "asked_at": now,
            "created_at": now,
            "updated_at": now,
        },
    )
    return refund


def _follow_refund(
    payment: Payment, refunded: domain.PaymentRefunded, version: int, now: datetime
) -> None:
    refund = _refund(payment, refunded.refund_id, refunded.amount, now)
    unsettled = Refund.objects.filter(pk=refund.pk).exclude(state=Refund.State.REFUNDED)
    unsettled.update(
        state=Refund.State.REFUNDED,
        provider_reference=refunded.provider_reference,
        code="",
        reason="",
        version=version,
        updated_at=now,
    )


def _debited_fields(debit: domain.PaymentDebited, refunded: int) -> dict[str, Any]:
    if refunded <= 0:
        state = Payment.State.DEBITED
    elif refunded < debit.amount.minor:
        state = Payment.State.PARTIALLY_REFUNDED
    else:
        state = Payment.State.REFUNDED
    return {
        "state": state,
        "provider": debit.provider,
        "provider_reference": debit.provider_reference,
    }
