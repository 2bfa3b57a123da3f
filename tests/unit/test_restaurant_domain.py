"""What a restaurant may decide on an order, by its history."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from orders_site.money import Money
from restaurant.domain import (
    ApproveTicket,
    Command,
    Decision,
    DeliverTicket,
    OrderApproved,
    OrderCancelled,
    OrderDelivered,
    OrderFact,
    OrderPaid,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    RejectTicket,
    ShipTicket,
    Status,
    Terms,
    TicketAlreadyAnswered,
    TicketNotApproved,
    TicketNotPaid,
    TicketNotShipped,
    TicketRefusal,
    WordsMissing,
    decide,
    first_answer,
    fold,
    ticket_id_of,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TICKET = uuid4()
PLACED = OrderPlaced(restaurant_id="pizza-roma", amount=Money(2500, "EUR"), items=())
PAID = OrderPaid(uuid4())
APPROVED = OrderApproved(ticket_id=TICKET, ready_at=NOON)
REJECTED = OrderRejected(reason="sold out")
CANCELLED = OrderCancelled(reason="")
SHIPPED = OrderShipped(courier="Ada")
DELIVERED = OrderDelivered(received_by="Bob")

HISTORIES: dict[Status, list[OrderFact]] = {
    Status.PENDING: [PLACED],
    Status.PAID: [PLACED, PAID],
    Status.APPROVED: [PLACED, PAID, APPROVED],
    Status.REJECTED: [PLACED, PAID, REJECTED],
    Status.CANCELLED: [PLACED, CANCELLED, PAID],
    Status.SHIPPED: [PLACED, PAID, APPROVED, SHIPPED],
    Status.DELIVERED: [PLACED, PAID, APPROVED, SHIPPED, DELIVERED],
}
APPROVE = ApproveTicket(ticket_id=TICKET, ready_at=NOON)
REJECT, SHIP = RejectTicket(reason="sold out"), ShipTicket(courier="Ada")
DELIVER = DeliverTicket(received_by="Bob")
LEGAL: dict[tuple[Command, Status], Decision] = {
    (APPROVE, Status.PAID): APPROVED,
    (REJECT, Status.PAID): REJECTED,
    (SHIP, Status.APPROVED): SHIPPED,
    (DELIVER, Status.SHIPPED): DELIVERED,
}
REFUSALS: dict[Command, type[TicketRefusal]] = {
    APPROVE: TicketAlreadyAnswered,
    REJECT: TicketAlreadyAnswered,
    SHIP: TicketNotApproved,
    DELIVER: TicketNotShipped,
}


@pytest.mark.parametrize("status", Status)
def test_the_status_follows_from_the_history(status: Status) -> None:
    assert fold(HISTORIES[status]).status is status


@pytest.mark.parametrize("status", [Status.REJECTED, Status.CANCELLED, Status.DELIVERED])
@pytest.mark.parametrize("late", [PAID, APPROVED, REJECTED, CANCELLED, SHIPPED, DELIVERED])
def test_a_final_status_is_final(status: Status, late: OrderFact) -> None:
    assert fold([*HISTORIES[status], late]).status is status


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("command", [APPROVE, REJECT, SHIP, DELIVER])
def test_each_command_is_taken_in_one_status_and_refused_in_the_others(
    command: Command, status: Status
) -> None:
    order = fold(HISTORIES[status])
    if expected := LEGAL.get((command, status)):
        assert decide(command, order) == expected
        return
    not_paid = status is Status.PENDING and command in (APPROVE, REJECT)
    with pytest.raises(TicketNotPaid if not_paid else REFUSALS[command]) as refusal:
        decide(command, order)
    assert status in str(refusal.value)


@pytest.mark.parametrize("words", ["", "  ", "x" * 201, "two\nlines", "nul\x00", "half \ud800"])
def test_words_that_say_nothing_or_too_much_are_refused(words: str) -> None:
    paid, approved = fold(HISTORIES[Status.PAID]), fold(HISTORIES[Status.APPROVED])
    shipped = fold(HISTORIES[Status.SHIPPED])
    with pytest.raises(WordsMissing):
        decide(RejectTicket(reason=words), paid)
    with pytest.raises(WordsMissing):
        decide(ShipTicket(courier=words), approved)
    with pytest.raises(WordsMissing):
        decide(DeliverTicket(received_by=words), shipped)


def test_words_are_kept_without_the_space_around_them() -> None:
    decision = decide(RejectTicket(reason=" out of dough "), fold(HISTORIES[Status.PAID]))
    assert decision == OrderRejected(reason="out of dough")


def terms(*, is_open: bool = True, automatic: bool = True) -> Terms:
    return Terms(
        is_open=is_open, accepts_automatically=automatic, preparation=timedelta(minutes=20)
    )


@pytest.mark.parametrize(
    ("conditions", "answer"),
    [
        (None, OrderRejected(reason="unknown-restaurant")),
        (terms(is_open=False), OrderRejected(reason="restaurant-closed")),
        (terms(is_open=False, automatic=False), OrderRejected(reason="restaurant-closed")),
        (terms(automatic=False), None),
        (terms(), OrderApproved(ticket_id=TICKET, ready_at=NOON + timedelta(minutes=20))),
    ],
)
def test_a_paid_order_is_answered_on_the_restaurants_terms(
    conditions: Terms | None, answer: Decision | None
) -> None:
    assert first_answer(fold(HISTORIES[Status.PAID]), conditions, TICKET, NOON) == answer


@pytest.mark.parametrize("status", set(Status) - {Status.PAID})
def test_an_order_that_is_not_waiting_is_not_answered(status: Status) -> None:
    assert first_answer(fold(HISTORIES[status]), None, TICKET, NOON) is None
    assert first_answer(fold(HISTORIES[status]), terms(), TICKET, NOON) is None


def test_the_ticket_id_depends_on_the_payment_alone() -> None:
    paid_by = uuid4()
    assert ticket_id_of(paid_by) == ticket_id_of(paid_by) != ticket_id_of(uuid4())
