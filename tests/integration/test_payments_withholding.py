"""Orders that closed before or while they were charged: no charge, or all of it given back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventstore.client import RetryLater
from eventstore.client.memory import InMemoryEventStore
from payments.gateways.memory import InMemoryGateway
from payments.handlers import IN_FLIGHT, take_payment
from payments.models import Payment, Refund
from tests import order_events
from tests.interruptions import Meanwhile

pytestmark = pytest.mark.django_db(databases=["payments"], transaction=True)

CREATED, DEBITED = "order-created", "order-payment-debited"
REJECTED, CANCELLED, REFUNDED = "order-rejected", "order-cancelled", "order-payment-refunded"


@pytest.fixture
def store() -> InMemoryEventStore:
    return InMemoryEventStore()


@pytest.fixture
def gateway() -> InMemoryGateway:
    return InMemoryGateway()


def the_payment(order_id: str) -> Payment:
    return Payment.objects.get(order_id=order_id)


@pytest.mark.parametrize("closing", [order_events.reject, order_events.cancel])
def test_an_order_that_closed_first_is_not_charged(
    store: InMemoryEventStore, gateway: InMemoryGateway, closing: Any
) -> None:
    created = order_events.place(store)
    closing(store, created.aggregate_id)
    take_payment(created, store=store, gateway=gateway)
    assert gateway.captures == []
    assert not Payment.objects.exists()


def test_an_order_that_closes_during_the_charge_is_debited_and_refunded(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    created = order_events.place(store)
    order_id = created.aggregate_id
    closing = Meanwhile(gateway, "charge", lambda: order_events.cancel(store, order_id))
    take_payment(created, store=store, gateway=closing)

    assert order_events.types(store, order_id) == [CREATED, CANCELLED, DEBITED, REFUNDED]
    assert len(gateway.refunds) == len(gateway.captures) == 1
    assert the_payment(order_id).state == Payment.State.REFUNDED
    assert Refund.objects.get().state == Refund.State.REFUNDED


def test_a_charge_that_was_asked_for_before_the_order_closed_is_found_and_refunded(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    created = order_events.place(store, amount="400.10")
    with pytest.raises(RetryLater):
        take_payment(created, store=store, gateway=gateway)
    order_events.reject(store, created.aggregate_id)
    take_payment(created, store=store, gateway=gateway)
    assert order_events.types(store, created.aggregate_id)[1:] == [REJECTED, DEBITED, REFUNDED]


def test_a_charge_that_may_be_on_its_way_is_waited_for_and_then_given_up(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    created = order_events.place(store, amount="400.16")
    asked = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with pytest.raises(RetryLater):
        take_payment(created, store=store, gateway=gateway, clock=lambda: asked)
    order_events.reject(store, created.aggregate_id)

    almost = asked + IN_FLIGHT - timedelta(seconds=3)
    with pytest.raises(RetryLater) as waiting:
        take_payment(created, store=store, gateway=gateway, clock=lambda: almost)
    assert waiting.value.delay_seconds == 3.0
    take_payment(created, store=store, gateway=gateway, clock=lambda: asked + IN_FLIGHT)
    assert the_payment(created.aggregate_id).state == Payment.State.ABANDONED


def test_a_worker_that_overslept_the_abandonment_does_not_charge(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    created = order_events.place(store, amount="400.16")
    with pytest.raises(RetryLater):
        take_payment(created, store=store, gateway=gateway)
    order_id = created.aggregate_id

    def abandoned() -> None:
        order_events.reject(store, order_id)
        later = datetime.now(UTC) + IN_FLIGHT
        take_payment(created, store=store, gateway=gateway, clock=lambda: later)

    class NoCharge(InMemoryGateway):
        def charge(self, request):
            raise AssertionError("charged")

    overslept = Meanwhile(store, "read_aggregate", abandoned)
    take_payment(created, store=overslept, gateway=NoCharge())
    assert the_payment(order_id).state == Payment.State.ABANDONED
