"""Payments after the log lost its end: rows go back to what it has, and money that was taken for
orders that it does not have is named.
"""

from collections.abc import Iterator, Sequence

from eventstore.client import Event, UnknownSchemaVersion
from eventstore.client.subscribing.recovering import Recovered, Reset, Rows
from eventstore.client.subscribing.recovering import recover as recover_context
from payments import messages, rows
from payments.handlers import utc_now
from payments.messages import MalformedEvent
from payments.models import Checkpoint, ParkedMessage, Payment

_MONEY_MOVED = (
    Payment.State.DEBITED,
    Payment.State.PARTIALLY_REFUNDED,
    Payment.State.REFUNDED,
)


def recover(recovered: Recovered) -> Iterator[Reset | int]:
    """Reset payments and refunds; see `recovering.recover`.

    What the gateway did is done. A payment whose debit is lost is asked for again under its key,
    so that the gateway tells and nothing is charged twice; the same with refunds.
    """
    yield from recover_context(
        recovered,
        database=rows.DATABASE,
        checkpoints=Checkpoint,
        parked=ParkedMessage,
        rows=Rows(Payment, "order_id", _reset),
    )


def _reset(payment: Payment, history: Sequence[Event], kept: bool) -> str:
    if not history:
        return _without_order(payment)
    try:
        order = messages.read_order(history)
    except (MalformedEvent, UnknownSchemaVersion) as error:
        return f"payment {payment.pk} is left as it is: {error}"
    given_up = payment.state == Payment.State.ABANDONED and not order.closed
    if kept and not given_up:
        return ""
    was = payment.state
    refunds = rows.go_back(payment, order, len(history), utc_now())
    told = f"payment {payment.pk} was {was}, is {payment.state} now"
    if refunds and not order.closed:
        told += "; its money was given back, and why is lost: cancel the order, or it goes unpaid"
    return told


def _without_order(payment: Payment) -> str:
    """The row stays: it is the only trace of the money, and right again once the order is."""
    rows.forget_versions(payment)
    if payment.state not in _MONEY_MOVED:
        return ""
    return (
        f"{payment.amount} {payment.currency} taken ({payment.provider_reference}), state "
        f"{payment.state}, and the log does not have the order: have it placed again under its "
        f"idempotency key, or see to the money at the provider"
    )
