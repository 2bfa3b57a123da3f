"""Taking payments: one charge per order, whatever is redelivered, killed or late."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from eventstore.client import (
    RetryLater,
    TransientError,
    UnknownSchemaVersion,
    VersionConflict,
)
from eventstore.client.memory import InMemoryEventStore
from payments import messages
from payments.gateways.memory import InMemoryGateway
from payments.gateways.port import GatewayUnavailable
from payments.gateways.sandbox.faults import CASES
from payments.handlers import IN_FLIGHT, REACTIONS, ContradictingOutcome, take_payment
from payments.messages import MalformedEvent
from payments.models import Payment
from tests import order_events
from tests.interruptions import DyingAfter, Killed, Meanwhile
from tests.together import together

pytestmark = pytest.mark.django_db(databases=["payments"], transaction=True)

CREATED, DEBITED, FAILED = "order-created", "order-payment-debited", "order-payment-failed"
REJECTED, CANCELLED, REFUNDED = "order-rejected", "order-cancelled", "order-payment-refunded"


@pytest.fixture
def store() -> InMemoryEventStore:
    return InMemoryEventStore()


@pytest.fixture
def gateway() -> InMemoryGateway:
    return InMemoryGateway()


def the_payment(order_id: str) -> Payment:
    return Payment.objects.get(order_id=order_id)


def test_a_placed_order_is_paid(store: InMemoryEventStore, gateway: InMemoryGateway) -> None:
    created = order_events.place(store, amount="25.50")
    take_payment(created, store=store, gateway=gateway)

    _, debited = store.read_aggregate(created.aggregate_id)
    (capture,) = gateway.captures
    payment = the_payment(created.aggregate_id)
    assert debited.event_type == DEBITED
    assert debited.payload == {
        "payment_id": str(payment.pk),
        "amount": "25.50",
        "currency": "EUR",
        "provider": "sandbox",
        "provider_reference": capture.reference,
    }
    assert debited.context["causation_id"] == str(created.event_id)
    assert debited.context["actor"] == "payments"
    assert (capture.amount_minor, capture.order_id) == (2550, created.aggregate_id)
    assert capture.idempotency_key == str(payment.pk)
    assert (payment.state, payment.version) == (Payment.State.DEBITED, 2)
    assert payment.provider_reference == capture.reference


def test_a_declined_card_fails_the_payment(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    created = order_events.place(store, amount="400.02")
    take_payment(created, store=store, gateway=gateway)

    _, failed = store.read_aggregate(created.aggregate_id)
    payment = the_payment(created.aggregate_id)
    assert failed.event_type == FAILED
    assert failed.payload == {"code": "card_declined", "reason": "The card was declined."}
    assert (payment.state, payment.code) == (Payment.State.FAILED, "card_declined")
    assert gateway.captures == []


def test_an_amount_that_the_gateway_refuses_fails_the_payment(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    created = order_events.place(store, amount="0.00")
    take_payment(created, store=store, gateway=gateway)

    _, failed = store.read_aggregate(created.aggregate_id)
    assert (failed.event_type, failed.payload["code"]) == (FAILED, "amount_invalid")


FATES = {
    40002: ("failed", 0),
    40003: ("failed", 0),
    40010: ("debited", 1),
    40011: ("debited", 1),
    40012: ("debited", 1),
    40013: ("debited", 1),
    40014: ("debited", 1),
    40015: ("debited", 1),
    40016: (None, 0),
    40017: ("failed", 0),
    40018: ("debited", 1),
    40019: ("debited", 1),
    40020: ("debited", 1),
    40021: ("debited", 1),
}


@pytest.mark.parametrize("amount", [case.amount for case in CASES])
def test_every_trouble_of_the_gateway_ends_in_what_really_happened(
    store: InMemoryEventStore, gateway: InMemoryGateway, amount: int
) -> None:
    state, captures = FATES[amount]
    created = order_events.place(store, amount=f"{amount // 100}.{amount % 100:02}")
    for _ in range(5):
        try:
            take_payment(created, store=store, gateway=gateway)
        except RetryLater:
            assert the_payment(created.aggregate_id).state == Payment.State.REQUESTED

    outcome = order_events.types(store, created.aggregate_id)[1:]
    assert len(gateway.captures) == captures
    assert outcome == ([f"order-payment-{state}"] if state else [])
    assert the_payment(created.aggregate_id).state == (state or Payment.State.REQUESTED)


def test_an_order_without_an_answer_from_the_gateway_holds_up_no_other(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    stuck = order_events.place(store, amount="400.16")
    with pytest.raises(RetryLater):
        take_payment(stuck, store=store, gateway=gateway)
    other = order_events.place(store)
    take_payment(other, store=store, gateway=gateway)
    assert order_events.types(store, other.aggregate_id) == [CREATED, DEBITED]


def test_ten_deliveries_take_one_payment(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    created = order_events.place(store)
    for _ in range(10):
        take_payment(created, store=store, gateway=gateway)
    assert len(gateway.captures) == 1
    assert order_events.types(store, created.aggregate_id) == [CREATED, DEBITED]


def test_workers_with_the_same_notice_at_once_take_one_payment(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    created = order_events.place(store)
    together([partial(take_payment, created, store=store, gateway=gateway)] * 4)
    assert len(gateway.captures) == 1
    assert order_events.types(store, created.aggregate_id) == [CREATED, DEBITED]
    assert the_payment(created.aggregate_id).state == Payment.State.DEBITED


def deaths(store: Any, gateway: Any) -> Iterator[tuple[str, Any, Any]]:
    yield "before the log is read", DyingAfter(store, "read_aggregate", before=True), gateway
    yield "before the charge", store, DyingAfter(gateway, "charge", before=True)
    yield "after the charge", store, DyingAfter(gateway, "charge")
    yield "before the append", DyingAfter(store, "append", before=True), gateway
    yield "after the append", DyingAfter(store, "append"), gateway


@pytest.mark.parametrize("death", range(5))
@pytest.mark.parametrize("closed_meanwhile", [False, True])
def test_a_worker_killed_at_any_step_takes_the_money_once(
    store: InMemoryEventStore, gateway: InMemoryGateway, death: int, closed_meanwhile: bool
) -> None:
    created = order_events.place(store)
    _, dying_store, dying_gateway = list(deaths(store, gateway))[death]
    with pytest.raises(Killed):
        take_payment(created, store=dying_store, gateway=dying_gateway)
    if closed_meanwhile:
        order_events.cancel(store, created.aggregate_id)

    after_the_grace = datetime.now(UTC) + IN_FLIGHT
    for _ in range(2):
        take_payment(created, store=store, gateway=gateway, clock=lambda: after_the_grace)

    net = len(gateway.captures) - len(gateway.refunds)
    events = order_events.types(store, created.aggregate_id)
    assert net == (0 if closed_meanwhile else 1)
    assert len(gateway.captures) == events.count(DEBITED) <= 1
    assert len(gateway.refunds) == events.count(REFUNDED)
    assert Payment.objects.filter(state=Payment.State.REQUESTED).count() == 0


def test_a_gateway_that_is_away_is_an_outage_and_the_payment_follows_on_its_return(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    class Away(InMemoryGateway):
        def charge(self, request):
            raise GatewayUnavailable("connection refused")

        def list_movements(self, after=None, limit=100):
            raise GatewayUnavailable("connection refused")

    created = order_events.place(store)
    with pytest.raises(TransientError) as outage:
        take_payment(created, store=store, gateway=Away())
    assert not isinstance(outage.value, RetryLater)
    take_payment(created, store=store, gateway=gateway)
    assert order_events.types(store, created.aggregate_id) == [CREATED, DEBITED]


def test_a_charge_of_another_amount_is_never_recorded_as_ours(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    created = order_events.place(store)
    with pytest.raises(Killed):
        take_payment(created, store=store, gateway=DyingAfter(gateway, "charge"))
    Payment.objects.update(amount_minor=1)
    with pytest.raises(ContradictingOutcome):
        take_payment(created, store=store, gateway=gateway)
    assert order_events.types(store, created.aggregate_id) == [CREATED]


def test_a_debit_is_a_fact_that_no_version_stands_against(gateway: InMemoryGateway) -> None:
    class NeverAtTheExpectedVersion(InMemoryEventStore):
        def append(self, events, expected_version=None):
            if expected_version is not None:
                raise VersionConflict
            return super().append(events)

    store = NeverAtTheExpectedVersion()
    created = order_events.place(store)
    take_payment(created, store=store, gateway=gateway)
    assert order_events.types(store, created.aggregate_id) == [CREATED, DEBITED]


def test_an_order_whose_amount_cannot_be_read_is_a_fault_of_the_message(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    created = order_events.place(store, amount="1e3")
    with pytest.raises(MalformedEvent):
        take_payment(created, store=store, gateway=gateway)
    assert not Payment.objects.exists()


def test_an_order_of_a_later_schema_is_a_fault_of_the_message(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    created = order_events.place(store)
    order_events.append(store, created.aggregate_id, CANCELLED, {}, schema_version=999)
    with pytest.raises(UnknownSchemaVersion):
        take_payment(created, store=store, gateway=gateway)


def test_rows_lost_after_the_debit_are_made_again_from_the_log(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    created = order_events.place(store)
    take_payment(created, store=store, gateway=gateway)
    Payment.objects.all().delete()
    take_payment(created, store=store, gateway=gateway)
    assert the_payment(created.aggregate_id).state == Payment.State.DEBITED
    assert len(gateway.captures) == 1


def test_a_debit_is_not_read_back_if_nothing_came_between(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    def read_again() -> None:
        raise AssertionError("read again")

    created = order_events.place(store)
    watched = Meanwhile(store, "read_aggregate", read_again, at=2)
    take_payment(created, store=watched, gateway=gateway)
    payment = the_payment(created.aggregate_id)
    assert (payment.state, payment.version) == (Payment.State.DEBITED, 2)


def test_the_notice_of_an_own_debit_writes_nothing_and_nothing_is_lost(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    created = order_events.place(store)
    with pytest.raises(Killed):
        take_payment(created, store=DyingAfter(store, "append"), gateway=gateway)
    debited = store.read_aggregate(created.aggregate_id)[-1]
    REACTIONS[DEBITED](debited, store=store, gateway=gateway)
    assert the_payment(created.aggregate_id).state == Payment.State.REQUESTED
    # Comes again, since it was not acknowledged.
    take_payment(created, store=store, gateway=gateway)
    assert the_payment(created.aggregate_id).state == Payment.State.DEBITED


def test_a_debit_that_somebody_else_recorded_is_shown(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    created = order_events.place(store)
    debited = order_events.debit(store, created.aggregate_id)
    REACTIONS[DEBITED](debited, store=store, gateway=gateway)
    assert the_payment(created.aggregate_id).state == Payment.State.DEBITED


def test_another_outcome_in_the_log_is_a_contradiction(
    store: InMemoryEventStore, gateway: InMemoryGateway
) -> None:
    created = order_events.place(store)
    failed = messages.payment_failed(created, "card_declined", "")
    contradicting = Meanwhile(gateway, "charge", lambda: store.append([failed]))
    with pytest.raises(ContradictingOutcome):
        take_payment(created, store=store, gateway=contradicting)
    assert order_events.types(store, created.aggregate_id) == [CREATED, FAILED]
