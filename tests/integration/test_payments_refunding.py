"""Giving money back: one full refund for a closed order, whichever event brings it to notice."""

from functools import partial
from typing import Any

import pytest

from eventstore.client import Event, RetryLater
from eventstore.client.memory import InMemoryEventStore
from payments import messages, rows
from payments.gateways.memory import InMemoryGateway
from payments.gateways.port import GatewayRejectedRequest, RefundRequest
from payments.handlers import (
    REACTIONS,
    ContradictingOutcome,
    refund_payment,
    take_payment,
    utc_now,
)
from payments.models import Payment, Refund
from tests import order_events
from tests.interruptions import DyingAfter, Killed
from tests.together import together

pytestmark = pytest.mark.django_db(databases=["payments"], transaction=True)

CREATED, DEBITED = "order-created", "order-payment-debited"
REJECTED, CANCELLED, REFUNDED = "order-rejected", "order-cancelled", "order-payment-refunded"


@pytest.fixture
def store() -> InMemoryEventStore:
    return InMemoryEventStore()


@pytest.fixture
def gateway() -> InMemoryGateway:
    return InMemoryGateway()


def paid(store: Any, gateway: Any, amount: str = "25.50") -> Event:
    created = order_events.place(store, amount=amount)
    take_payment(created, store=store, gateway=gateway)
    return store.read_aggregate(created.aggregate_id)[1]


@pytest.mark.parametrize("closing", [order_events.reject, order_events.cancel])
def test_a_paid_order_that_closes_is_refunded_in_full(
    store: InMemoryEventStore, gateway: InMemoryGateway, closing: Any
) -> None:
    debited = paid(store, gateway)
    closed = closing(store, debited.aggregate_id)
    refund_payment(closed, store=store, gateway=gateway)

    refunded = store.read_aggregate(debited.aggregate_id)[-1]
    (movement,) = gateway.refunds
    refund = Refund.objects.get(order_id=debited.aggregate_id)
    assert refunded.event_type == REFUNDED
    assert refunded.payload == {
        "refund_id": str(refund.pk),
        "amount": "25.50",
        "currency": "EUR",
        "provider_reference": movement.reference,
    }
    assert refunded.context["causation_id"] == str(closed.event_id)
    assert movement.amount_minor == 2550
    assert movement.charge_reference == debited.payload["provider_reference"]
    assert (refund.state, refund.version) == (Refund.State.REFUNDED, 4)
    assert Payment.objects.get().state == Payment.State.REFUNDED


def test_every_notice_of_a_closed_order_again_and_again_makes_one_refund(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    debited = paid(store, gateway)
    order_events.cancel(store, debited.aggregate_id)
    for _ in range(3):
        for event in store.read_aggregate(debited.aggregate_id):
            if reaction := REACTIONS.get(event.event_type):
                reaction(event, store=store, gateway=gateway)
    assert len(gateway.refunds) == 1
    assert order_events.types(store, debited.aggregate_id) == [
        CREATED,
        DEBITED,
        CANCELLED,
        REFUNDED,
    ]


@pytest.mark.parametrize("event_type", [CREATED, DEBITED, REJECTED])
def test_a_late_debit_is_refunded_by_whichever_notice_comes(
    store: InMemoryEventStore, gateway: InMemoryGateway, event_type: str
) -> None:
    created = order_events.place(store)
    with pytest.raises(Killed):
        take_payment(created, store=store, gateway=DyingAfter(gateway, "charge"))
    order_events.reject(store, created.aggregate_id)
    with pytest.raises(Killed):
        take_payment(created, store=DyingAfter(store, "append"), gateway=gateway)
    notices = {event.event_type: event for event in store.read_aggregate(created.aggregate_id)}
    assert list(notices) == [CREATED, REJECTED, DEBITED]

    REACTIONS[event_type](notices[event_type], store=store, gateway=gateway)
    assert order_events.types(store, created.aggregate_id)[-1] == REFUNDED
    assert len(gateway.refunds) == 1


def test_an_open_order_is_not_refunded(store: InMemoryEventStore, gateway: InMemoryGateway) -> None:
    debited = paid(store, gateway)
    refund_payment(debited, store=store, gateway=gateway)
    order_events.append(
        store,
        debited.aggregate_id,
        "order-approved",
        {"ticket_id": "t", "ready_at": "2026-03-01T12:00:00Z"},
    )
    refund_payment(debited, store=store, gateway=gateway)
    assert gateway.refunds == []
    assert not Refund.objects.exists()


def test_a_rejected_order_without_a_debit_is_not_refunded(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    created = order_events.place(store, amount="400.02")
    take_payment(created, store=store, gateway=gateway)
    rejected = order_events.reject(store, created.aggregate_id, "payment-failed")
    refund_payment(rejected, store=store, gateway=gateway)
    assert order_events.types(store, created.aggregate_id)[-1] == REJECTED
    assert gateway.refunds == []


def test_what_was_given_back_before_is_not_given_back_again(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    debited = paid(store, gateway)
    given = gateway.refund(
        RefundRequest(
            idempotency_key="by-staff",
            charge_reference=debited.payload["provider_reference"],
            amount_minor=1000,
            currency="EUR",
        )
    )
    data = {
        "refund_id": "6f1c1f3e-8f5b-4b43-9d80-0b7a3f5c9a11",
        "amount": "10.00",
        "currency": "EUR",
        "provider_reference": given.reference,
    }
    order_events.append(store, debited.aggregate_id, REFUNDED, data)
    refund_payment(debited, store=store, gateway=gateway)
    assert Payment.objects.get().state == Payment.State.PARTIALLY_REFUNDED

    closed = order_events.reject(store, debited.aggregate_id)
    refund_payment(closed, store=store, gateway=gateway)
    assert [movement.amount_minor for movement in gateway.refunds] == [1000, 1550]
    assert Payment.objects.get().state == Payment.State.REFUNDED


@pytest.mark.parametrize(
    ("amount", "waits"), [("400.15", 2), ("400.20", 1), ("25.50", 0)], ids=["fails", "lost", "fine"]
)
def test_a_refund_in_trouble_is_asked_for_until_it_is_made(
    store: InMemoryEventStore, gateway: InMemoryGateway, amount: str, waits: int
) -> None:
    debited = paid(store, gateway, amount)
    closed = order_events.reject(store, debited.aggregate_id)
    for _ in range(waits):
        with pytest.raises(RetryLater):
            refund_payment(closed, store=store, gateway=gateway)
    refund_payment(closed, store=store, gateway=gateway)
    assert len(gateway.refunds) == 1
    assert order_events.types(store, debited.aggregate_id)[-1] == REFUNDED


def test_a_refund_that_is_never_answered_stays_requested(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    debited = paid(store, gateway, "400.21")
    closed = order_events.reject(store, debited.aggregate_id)
    for _ in range(5):
        with pytest.raises(RetryLater):
            refund_payment(closed, store=store, gateway=gateway)
    assert Refund.objects.get().state == Refund.State.REQUESTED
    assert order_events.types(store, debited.aggregate_id)[-1] == REJECTED


def test_a_refund_that_the_provider_refuses_is_on_record_and_a_fault_of_the_message(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    debited = paid(store, gateway)
    gateway.refund(
        RefundRequest(
            idempotency_key="by-hand",
            charge_reference=debited.payload["provider_reference"],
            amount_minor=2550,
            currency="EUR",
        )
    )
    closed = order_events.reject(store, debited.aggregate_id)
    with pytest.raises(GatewayRejectedRequest):
        refund_payment(closed, store=store, gateway=gateway)
    refund = Refund.objects.get()
    assert (refund.state, refund.code) == (Refund.State.REFUSED, "charge_already_refunded")
    assert order_events.types(store, debited.aggregate_id)[-1] == REJECTED


@pytest.mark.parametrize(
    ("part", "method", "before"),
    [
        ("store", "read_aggregate", True),
        ("gateway", "refund", True),
        ("gateway", "refund", False),
        ("store", "append", True),
        ("store", "append", False),
    ],
)
def test_a_worker_killed_at_any_step_refunds_once(
    store: InMemoryEventStore, gateway: InMemoryGateway, part: str, method: str, before: bool
) -> None:
    debited = paid(store, gateway)
    closed = order_events.reject(store, debited.aggregate_id)
    parts: dict[str, Any] = {"store": store, "gateway": gateway}
    dying = {part: DyingAfter(parts[part], method, before=before)}
    with pytest.raises(Killed):
        refund_payment(closed, **{**parts, **dying})

    for _ in range(2):
        refund_payment(closed, store=store, gateway=gateway)
    assert len(gateway.refunds) == 1
    assert order_events.types(store, debited.aggregate_id).count(REFUNDED) == 1
    assert Refund.objects.get().state == Refund.State.REFUNDED
    assert Payment.objects.get().state == Payment.State.REFUNDED


def test_workers_with_different_notices_at_once_make_one_refund(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    debited = paid(store, gateway)
    closed = order_events.reject(store, debited.aggregate_id)
    refund = partial(refund_payment, store=store, gateway=gateway)
    together([partial(refund, cause) for cause in (debited, closed) * 2])
    assert len(gateway.refunds) == 1
    assert order_events.types(store, debited.aggregate_id).count(REFUNDED) == 1
    assert Refund.objects.get().state == Refund.State.REFUNDED


def test_a_row_that_asks_for_more_than_was_taken_is_refused_by_the_provider(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    debited = paid(store, gateway)
    closed = order_events.reject(store, debited.aggregate_id)
    with pytest.raises(Killed):
        refund_payment(closed, store=store, gateway=DyingAfter(gateway, "refund", before=True))
    Refund.objects.update(amount_minor=9999)
    with pytest.raises((GatewayRejectedRequest, ContradictingOutcome)):
        refund_payment(closed, store=store, gateway=gateway)
    assert gateway.refunds == []


def test_a_worker_that_overslept_does_not_take_the_rows_back(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    debited = paid(store, gateway)
    order_id = debited.aggregate_id
    refund_payment(order_events.cancel(store, order_id), store=store, gateway=gateway)
    before = messages.read_order(store.read_aggregate(order_id)[:2])
    rows.follow(order_id, before, 2, utc_now())
    payment = Payment.objects.get()
    assert (payment.state, payment.version) == (Payment.State.REFUNDED, 4)


def test_a_refund_keeps_the_version_at_which_it_was_made(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    closed = order_events.cancel(store, paid(store, gateway).aggregate_id)
    refund_payment(closed, store=store, gateway=gateway)
    order_events.append(store, closed.aggregate_id, "order-noted", {})
    refund_payment(closed, store=store, gateway=gateway)
    assert (Payment.objects.get().version, Refund.objects.get().version) == (5, 4)
