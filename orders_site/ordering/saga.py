"""The saga as a pure state machine: what an order waits for, until when, and what follows.

It times out what hangs and rejects what can't be paid; money comes back by payments' own reaction
to the rejection or cancellation, which the saga only waits for.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from orders_site.ordering.domain import (
    Event,
    Order,
    PaymentFailed,
    Rejection,
    RejectOrder,
    Status,
    evolve,
)


class Step(StrEnum):
    """What the saga waits for. A closed order may still see a late debit, hence a refund."""

    AWAITING_PAYMENT = "awaiting-payment"
    PAYMENT_FAILED = "payment-failed"
    AWAITING_APPROVAL = "awaiting-approval"
    AWAITING_REFUND = "awaiting-refund"
    COMPLETED = "completed"
    CLOSED = "closed"


@dataclass(frozen=True)
class Deadlines:
    """How long each wait may last, counted from when the event that began it was recorded."""

    payment: timedelta
    approval: timedelta
    refund: timedelta


@dataclass(frozen=True)
class SagaState:
    """Where the saga of one order is."""

    order: Order
    step: Step
    deadline: datetime | None


@dataclass(frozen=True)
class RaiseAlarm:
    """People have to look: money that should have come back has not."""

    text: str


Effect = RejectOrder | RaiseAlarm


def advance(
    state: SagaState | None, event: Event, at: datetime, deadlines: Deadlines
) -> tuple[SagaState | None, tuple[Effect, ...]]:
    """The saga after an event that was recorded at `at`, and what is to be done about the event.

    The effects are decisions to be taken again on the order as it is then; they may be void.
    """
    order = evolve(state.order if state else None, event)
    if order is None:
        return None, ()
    step = _step(order)
    deadline = state.deadline if state and state.step is step else _deadline(step, at, deadlines)
    declined = isinstance(event, PaymentFailed) and step is Step.PAYMENT_FAILED
    effects = (RejectOrder(Rejection.PAYMENT_FAILED),) if declined else ()
    return SagaState(order, step, deadline), effects


def _step(order: Order) -> Step:
    match order.status:
        case Status.PENDING:
            return Step.PAYMENT_FAILED if order.declined else Step.AWAITING_PAYMENT
        case Status.PAID:
            return Step.AWAITING_APPROVAL
        case Status.APPROVED | Status.SHIPPED | Status.DELIVERED:
            return Step.COMPLETED
        case Status.REJECTED | Status.CANCELLED:
            return Step.AWAITING_REFUND if order.holds_money else Step.CLOSED
        case _:
            assert_never(order.status)


def _deadline(step: Step, at: datetime, deadlines: Deadlines) -> datetime | None:
    match step:
        case Step.AWAITING_PAYMENT | Step.PAYMENT_FAILED:
            return at + deadlines.payment
        case Step.AWAITING_APPROVAL:
            return at + deadlines.approval
        case Step.AWAITING_REFUND:
            return at + deadlines.refund
        case Step.COMPLETED | Step.CLOSED:
            return None
        case _:
            assert_never(step)


def timed_out(state: SagaState, now: datetime) -> tuple[Effect, ...]:
    """What is to be done if the saga's wait is over by `now`; nothing if it isn't."""
    if state.deadline is None or now < state.deadline:
        return ()
    match state.step:
        case Step.AWAITING_PAYMENT:
            return (RejectOrder(Rejection.PAYMENT_TIMEOUT),)
        case Step.PAYMENT_FAILED:
            # Its rejection got lost on the way; the reason is still the decline.
            return (RejectOrder(Rejection.PAYMENT_FAILED),)
        case Step.AWAITING_APPROVAL:
            return (RejectOrder(Rejection.APPROVAL_TIMEOUT),)
        case Step.AWAITING_REFUND:
            return (RaiseAlarm(f"The refund was due by {state.deadline:%Y-%m-%d %H:%M:%S} UTC."),)
        case Step.COMPLETED | Step.CLOSED:
            return ()
        case _:
            assert_never(state.step)
