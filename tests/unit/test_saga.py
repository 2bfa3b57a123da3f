"""The saga's steps, one at a time; test_saga_interleavings has what happens when they mix."""

from datetime import UTC, datetime, timedelta

import pytest

from orders_site.money import Money
from orders_site.ordering import domain
from orders_site.ordering.details import OrderDetails, OrderItem
from orders_site.ordering.domain import (
    OrderApproved,
    OrderCancelled,
    OrderRejected,
    OrderShipped,
    PaymentDebited,
    PaymentFailed,
    PaymentRefunded,
    Rejection,
    RejectOrder,
)
from orders_site.ordering.saga import Deadlines, RaiseAlarm, Step, advance, timed_out

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DEADLINES = Deadlines(payment=2 * MINUTE, approval=15 * MINUTE, refund=10 * MINUTE)
ITEM = OrderItem("margherita", "Pizza", Money(2500, "EUR"), 1)
CREATED = domain.place(
    domain.PlaceOrder("order-1", OrderDetails("customer-1", "trattoria", "EUR", (ITEM,)), NOON)
)
DEBITED = PaymentDebited(Money(2500, "EUR"))
REFUNDED = PaymentRefunded(Money(2500, "EUR"))
HALF_REFUNDED = PaymentRefunded(Money(1250, "EUR"))
CANCELLED = OrderCancelled("", "")
REJECTED = OrderRejected("restaurant-closed")
FAILED = PaymentFailed("no funds")


def follow(*events):
    """The saga after the events, one recorded each minute from noon on, and the last's effects."""
    state, effects = None, ()
    for minute, event in enumerate(events):
        state, effects = advance(state, event, NOON + minute * MINUTE, DEADLINES)
    return state, effects


@pytest.mark.parametrize(
    ("events", "step", "deadline_minute"),
    [
        ([CREATED], Step.AWAITING_PAYMENT, 2),
        ([CREATED, DEBITED], Step.AWAITING_APPROVAL, 1 + 15),
        ([CREATED, FAILED], Step.PAYMENT_FAILED, 1 + 2),
        ([CREATED, FAILED, OrderRejected("payment-failed")], Step.CLOSED, None),
        ([CREATED, DEBITED, OrderApproved()], Step.COMPLETED, None),
        ([CREATED, DEBITED, OrderApproved(), OrderShipped()], Step.COMPLETED, None),
        ([CREATED, CANCELLED], Step.CLOSED, None),
        ([CREATED, DEBITED, CANCELLED], Step.AWAITING_REFUND, 2 + 10),
        ([CREATED, DEBITED, REJECTED], Step.AWAITING_REFUND, 2 + 10),
        ([CREATED, DEBITED, REJECTED, HALF_REFUNDED], Step.AWAITING_REFUND, 2 + 10),
        ([CREATED, DEBITED, REJECTED, REFUNDED], Step.CLOSED, None),
        ([CREATED, CANCELLED, DEBITED], Step.AWAITING_REFUND, 2 + 10),
        ([CREATED, CANCELLED, DEBITED, REFUNDED], Step.CLOSED, None),
        ([CREATED, DEBITED, OrderApproved(), REFUNDED], Step.COMPLETED, None),
    ],
)
def test_history_tells_what_the_saga_waits_for_and_until_when(events, step, deadline_minute):
    state, _ = follow(*events)
    assert state is not None
    assert state.step is step
    expected = None if deadline_minute is None else NOON + deadline_minute * MINUTE
    assert state.deadline == expected


def test_a_failed_payment_calls_for_a_rejection():
    _, effects = follow(CREATED, FAILED)
    assert effects == (RejectOrder(Rejection.PAYMENT_FAILED),)


@pytest.mark.parametrize(
    "events",
    [
        [CREATED],
        [CREATED, DEBITED],
        [CREATED, CANCELLED, FAILED],
        [CREATED, FAILED, CANCELLED],
        [CREATED, CANCELLED, DEBITED],
    ],
)
def test_nothing_else_calls_for_one(events):
    assert follow(*events)[1] == ()


def test_an_order_without_its_beginning_has_no_saga():
    assert follow(DEBITED) == (None, ())


@pytest.mark.parametrize(
    ("events", "effect"),
    [
        ([CREATED], RejectOrder(Rejection.PAYMENT_TIMEOUT)),
        ([CREATED, FAILED], RejectOrder(Rejection.PAYMENT_FAILED)),
        ([CREATED, DEBITED], RejectOrder(Rejection.APPROVAL_TIMEOUT)),
        (
            [CREATED, DEBITED, CANCELLED],
            RaiseAlarm("The refund was due by 2025-06-01 12:12:00 UTC."),
        ),
    ],
)
def test_each_wait_ends_with_its_deadline_and_not_before(events, effect):
    state, _ = follow(*events)
    assert state is not None
    assert timed_out(state, state.deadline - timedelta(microseconds=1)) == ()
    assert timed_out(state, state.deadline) == (effect,)


@pytest.mark.parametrize(
    "events", [[CREATED, DEBITED, OrderApproved()], [CREATED, CANCELLED], [CREATED, REJECTED]]
)
def test_what_is_over_never_times_out(events):
    state, _ = follow(*events)
    assert state is not None
    assert timed_out(state, NOON + timedelta(days=10_000)) == ()
