"""The rules of orders: what may be placed, and when an order may be cancelled or rejected."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from orders_site.money import MAX_MINOR, Money
from orders_site.ordering import domain
from orders_site.ordering.details import OrderDetails, OrderItem, order_problems
from orders_site.ordering.domain import (
    CancelOrder,
    CannotCancel,
    NoSuchOrder,
    OrderApproved,
    OrderCancelled,
    OrderDelivered,
    OrderRejected,
    OrderShipped,
    PaymentDebited,
    PaymentFailed,
    PaymentRefunded,
    PaymentStatus,
    PlaceOrder,
    Rejection,
    RejectOrder,
    Status,
    decide,
    fold,
)

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
PIZZA = OrderItem("margherita", "Pizza Margherita", Money(1250, "EUR"), 2)
DETAILS = OrderDetails("customer-1", "trattoria", "EUR", (PIZZA,))
CREATED = domain.place(PlaceOrder("order-1", DETAILS, NOON))
DEBITED = PaymentDebited(Money(2500, "EUR"))
REFUNDED = PaymentRefunded(Money(2500, "EUR"))
CANCEL = CancelOrder("changed my mind", "api-client:1")


def with_item(**changes):
    return replace(DETAILS, items=(replace(PIZZA, **changes),))


# -- Placing


def test_a_new_order_costs_the_exact_sum_of_its_lines():
    items = (PIZZA, replace(PIZZA, unit_price=Money(1, "EUR"), quantity=3))
    (created,) = decide(PlaceOrder("order-1", replace(DETAILS, items=items), NOON), None)
    assert created == domain.OrderCreated(
        "order-1", replace(DETAILS, items=items), NOON, Money(2503, "EUR")
    )


def test_placing_an_order_that_exists_does_nothing():
    assert decide(PlaceOrder("order-1", DETAILS, NOON), fold([CREATED])) == ()


def test_a_free_item_in_an_order_that_costs_something_is_fine():
    items = (PIZZA, replace(PIZZA, unit_price=Money(0, "EUR")))
    assert order_problems(replace(DETAILS, items=items)) == {}


@pytest.mark.parametrize(
    ("details", "field"),
    [
        (replace(DETAILS, customer_id=""), "customer_id"),
        (replace(DETAILS, customer_id="c" * 65), "customer_id"),
        (replace(DETAILS, customer_id="a\x00b"), "customer_id"),
        (replace(DETAILS, customer_id=" \u3000"), "customer_id"),
        (replace(DETAILS, restaurant_id=""), "restaurant_id"),
        (replace(DETAILS, restaurant_id="a\ud800b"), "restaurant_id"),
        (replace(DETAILS, items=()), "order_items"),
        (replace(DETAILS, items=(PIZZA,) * 101), "order_items"),
        (with_item(unit_price=Money(0, "EUR")), "order_items"),
        (with_item(unit_price=Money(MAX_MINOR, "EUR"), quantity=2), "order_items"),
    ],
)
def test_an_order_that_breaks_a_rule_is_refused_by_field(details, field):
    with pytest.raises(domain.InvalidOrder) as refused:
        decide(PlaceOrder("order-1", details, NOON), None)
    assert list(refused.value.problems) == [field]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"code": ""}, "code"),
        ({"code": "c" * 65}, "code"),
        ({"code": "a\r\nb"}, "code"),
        ({"name": "n" * 201}, "name"),
        ({"name": "\u2028"}, "name"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": -1}, "quantity"),
        ({"quantity": 10_001}, "quantity"),
        ({"unit_price": Money(-1, "EUR")}, "unit_price"),
        ({"unit_price": Money(1250, "USD")}, "unit_price"),
    ],
)
def test_an_item_that_breaks_a_rule_is_refused_by_place_and_field(changes, field):
    details = replace(DETAILS, items=(PIZZA, replace(PIZZA, **changes)))
    problems = order_problems(details)
    assert list(problems) == ["order_items"]
    assert list(problems["order_items"]) == ["1"]
    assert list(problems["order_items"]["1"]) == [field]


def test_the_bounds_themselves_are_fine():
    item = OrderItem("c" * 64, "n" * 200, Money(1, "EUR"), 10_000)
    details = OrderDetails("c" * 64, "r" * 64, "EUR", (item,) * 100)
    assert order_problems(details) == {}


@pytest.mark.parametrize("name", ["Ünïcödé", "مرحبا", "‮evil", "a\u200bb", "<b>", "'; --", "🍕"])
def test_any_printable_name_is_fine(name):
    assert order_problems(with_item(name=name)) == {}


# -- What events make of an order


@pytest.mark.parametrize(
    ("events", "status", "payment"),
    [
        ([], Status.PENDING, PaymentStatus.NONE),
        ([DEBITED], Status.PAID, PaymentStatus.DEBITED),
        ([PaymentFailed("no funds")], Status.PENDING, PaymentStatus.FAILED),
        ([DEBITED, OrderApproved()], Status.APPROVED, PaymentStatus.DEBITED),
        ([DEBITED, OrderApproved(), OrderShipped()], Status.SHIPPED, PaymentStatus.DEBITED),
        (
            [DEBITED, OrderApproved(), OrderShipped(), OrderDelivered()],
            Status.DELIVERED,
            PaymentStatus.DEBITED,
        ),
        ([DEBITED, OrderRejected("closed")], Status.REJECTED, PaymentStatus.DEBITED),
        ([DEBITED, OrderRejected("closed"), REFUNDED], Status.REJECTED, PaymentStatus.REFUNDED),
        (
            [DEBITED, OrderCancelled("", ""), PaymentRefunded(Money(1, "EUR"))],
            Status.CANCELLED,
            PaymentStatus.PARTIALLY_REFUNDED,
        ),
        ([OrderCancelled("", ""), DEBITED], Status.CANCELLED, PaymentStatus.DEBITED),
        ([OrderCancelled("", ""), OrderApproved()], Status.CANCELLED, PaymentStatus.NONE),
        ([DEBITED, OrderApproved(), OrderRejected("late")], Status.APPROVED, PaymentStatus.DEBITED),
        ([OrderApproved()], Status.PENDING, PaymentStatus.NONE),
        ([CREATED], Status.PENDING, PaymentStatus.NONE),
    ],
)
def test_events_in_order_make_a_status_and_a_payment_status(events, status, payment):
    order = fold([CREATED, *events])
    assert order is not None
    assert (order.status, order.payment_status) == (status, payment)


def test_nothing_happens_to_an_order_before_it_is_created():
    assert fold([DEBITED, OrderApproved()]) is None


def test_the_first_reason_stays():
    order = fold([CREATED, OrderRejected("closed"), OrderCancelled("mine", "")])
    assert order is not None
    assert (order.status, order.reason) == (Status.REJECTED, "closed")


# -- Cancelling and rejecting


@pytest.mark.parametrize("events", [[], [DEBITED], [PaymentFailed("no funds")]])
def test_a_pending_or_paid_order_can_be_cancelled(events):
    cancelled = OrderCancelled("changed my mind", "api-client:1")
    assert decide(CANCEL, fold([CREATED, *events])) == (cancelled,)


def test_cancelling_again_does_nothing():
    assert decide(CANCEL, fold([CREATED, OrderCancelled("first", "")])) == ()


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([DEBITED, OrderApproved()], "approved"),
        ([DEBITED, OrderApproved(), OrderShipped()], "shipped"),
        ([DEBITED, OrderApproved(), OrderDelivered()], "approved"),
        ([DEBITED, OrderApproved(), OrderShipped(), OrderDelivered()], "delivered"),
        ([OrderRejected("closed")], "rejected"),
    ],
)
def test_an_order_that_is_too_far_on_is_not_cancelled_and_its_status_is_named(events, status):
    with pytest.raises(CannotCancel, match=status):
        decide(CANCEL, fold([CREATED, *events]))


def test_an_order_that_does_not_exist_is_not_cancelled():
    with pytest.raises(NoSuchOrder, match="no such order"):
        decide(CANCEL, None)


@pytest.mark.parametrize("reason", list(Rejection))
@pytest.mark.parametrize(
    "events",
    [
        [DEBITED, OrderApproved()],
        [OrderRejected("closed")],
        [OrderCancelled("", "")],
    ],
)
def test_an_order_past_waiting_is_not_rejected(reason, events):
    assert decide(RejectOrder(reason), fold([CREATED, *events])) == ()


@pytest.mark.parametrize(
    ("reason", "while_pending", "while_paid"),
    [
        (Rejection.PAYMENT_FAILED, True, False),
        (Rejection.PAYMENT_TIMEOUT, True, False),
        (Rejection.APPROVAL_TIMEOUT, False, True),
    ],
)
def test_an_order_is_rejected_only_for_what_it_still_waits_for(reason, while_pending, while_paid):
    rejected = (OrderRejected(reason),)
    assert decide(RejectOrder(reason), fold([CREATED])) == (rejected if while_pending else ())
    assert decide(RejectOrder(reason), fold([CREATED, DEBITED])) == (rejected if while_paid else ())
    assert decide(RejectOrder(reason), None) == ()
