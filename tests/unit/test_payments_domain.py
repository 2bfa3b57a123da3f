"""What payments decides on an order's history."""

from uuid import uuid4

import pytest

from orders_site.money import Money
from payments.domain import (
    Charge,
    Nothing,
    OrderClosed,
    OrderFact,
    OrderPlaced,
    PaymentDebited,
    PaymentFailed,
    PaymentRefunded,
    Refund,
    Withhold,
    fold,
    next_step,
    payment_id_of,
    refund_id_of,
)

EUROS_25 = Money(2500, "EUR")
PLACED = OrderPlaced(event_id=uuid4(), amount=EUROS_25)
DEBITED = PaymentDebited(
    event_id=uuid4(),
    payment_id=uuid4(),
    amount=EUROS_25,
    provider="sandbox",
    provider_reference="ch_1",
)
FAILED = PaymentFailed(code="card_declined", reason="The card was declined.")
CLOSED = OrderClosed()


def refunded(minor: int) -> PaymentRefunded:
    return PaymentRefunded(refund_id=uuid4(), amount=Money(minor, "EUR"), provider_reference="re_1")


@pytest.mark.parametrize(
    ("history", "step"),
    [
        ([], Nothing()),
        ([PLACED], Charge(PLACED)),
        ([PLACED, CLOSED], Withhold(PLACED)),
        ([PLACED, FAILED], Nothing()),
        ([PLACED, FAILED, CLOSED], Nothing()),
        ([PLACED, DEBITED], Nothing()),
        ([PLACED, DEBITED, CLOSED], Refund(DEBITED, EUROS_25)),
        ([PLACED, CLOSED, DEBITED], Refund(DEBITED, EUROS_25)),
        ([DEBITED, CLOSED], Refund(DEBITED, EUROS_25)),
        ([PLACED, DEBITED, refunded(1000)], Nothing()),
        ([PLACED, DEBITED, refunded(1000), CLOSED], Refund(DEBITED, Money(1500, "EUR"))),
        ([PLACED, DEBITED, CLOSED, refunded(2500)], Nothing()),
        ([PLACED, DEBITED, CLOSED, refunded(1000), refunded(1500)], Nothing()),
        ([PLACED, DEBITED, CLOSED, refunded(3000)], Nothing()),
    ],
)
def test_the_next_step_follows_from_the_history(history: list[OrderFact], step: object) -> None:
    assert next_step(fold(history)) == step


def test_a_second_placement_or_debit_does_not_replace_the_first() -> None:
    again = OrderPlaced(event_id=uuid4(), amount=Money(1, "EUR"))
    order = fold([PLACED, again, DEBITED])
    assert order.placed == PLACED
    assert order.debit == DEBITED


def test_payment_and_refund_ids_depend_on_their_causes_alone() -> None:
    other = OrderPlaced(event_id=uuid4(), amount=EUROS_25)
    assert payment_id_of(PLACED) == payment_id_of(
        OrderPlaced(event_id=PLACED.event_id, amount=Money(1, "EUR"))
    )
    assert payment_id_of(PLACED) != payment_id_of(other)
    assert refund_id_of(DEBITED) not in {payment_id_of(PLACED), DEBITED.event_id}
