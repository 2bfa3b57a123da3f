"""Placing and cancelling on an event store: once each, whoever repeats or races."""

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from eventstore.client import NewEvent, Unavailable
from eventstore.client.memory import InMemoryEventStore
from orders_site.money import Money
from orders_site.ordering import domain
from orders_site.ordering.bodies import order_details
from orders_site.ordering.details import OrderDetails, OrderItem
from orders_site.ordering.handlers import Caller, IdempotencyKeyReused, cancel_order, place_order

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
ITEM = OrderItem("margherita", "Pizza Margherita", Money(1250, "EUR"), 2)
DETAILS = OrderDetails("customer-1", "trattoria", "EUR", (ITEM,))
CLIENT = UUID("6f1d3a52-9a0e-4c0f-8f43-0f6f7d0b7a11")
OTHER_CLIENT = UUID("00000000-0000-4000-8000-000000000002")
OWNER = Caller(f"api-client:{CLIENT}", CLIENT)
STAFF = Caller("staff:nina")


@pytest.fixture
def store():
    return InMemoryEventStore()


def place(store, details=DETAILS, *, client_id=CLIENT, now=NOON, **options):
    return place_order(details, store=store, client_id=client_id, now=now, **options)


def happen(store, order_id, event_type, data="{}"):
    event = NewEvent(
        event_id=uuid4(),
        event_type=event_type,
        aggregate_id=order_id,
        aggregate_type="order",
        data=data,
    )
    store.append([event])


def debit(store, order_id):
    happen(store, order_id, "order-payment-debited", '{"amount": "25.00", "currency": "EUR"}')


def events_of(store):
    return list(store.read_stream())


# -- Placing


def test_a_placed_order_is_one_event_that_says_who_placed_it(store):
    order = place(store, traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    (event,) = events_of(store)
    assert (event.event_type, event.aggregate_type) == ("order-created", "order")
    assert event.aggregate_id == order.placed.order_id == event.payload["order_id"]
    assert event.payload["amount"] == "25.00"
    assert event.payload["created_on"] == "2025-06-01T12:00:00.000000Z"
    assert event.context == {
        "actor": f"api-client:{CLIENT}",
        "api_client": str(CLIENT),
        "correlation_id": str(event.event_id),
        "fingerprint": event.context["fingerprint"],
        "schema_version": 1,
        "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
    }


def test_without_a_key_each_request_is_an_order(store):
    place(store)
    place(store)
    assert len({event.aggregate_id for event in events_of(store)}) == 2


def test_the_same_key_and_order_give_the_same_answer_whatever_happened_since(store):
    first = place(store, idempotency_key="k")
    debit(store, first.placed.order_id)
    cancel_order(first.placed.order_id, "", store=store, caller=OWNER)
    again = place(store, idempotency_key="k", now=NOON + timedelta(days=400))
    assert again == first
    assert (again.status, again.payment_status) == ("pending", "none")
    assert [e.event_type for e in events_of(store)].count("order-created") == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(DETAILS, customer_id="customer-2"),
        replace(DETAILS, items=(ITEM, ITEM)),
        replace(DETAILS, items=(replace(ITEM, quantity=3),)),
    ],
)
def test_the_same_key_for_another_order_is_refused_and_leaves_no_event(store, other):
    place(store, idempotency_key="k")
    with pytest.raises(IdempotencyKeyReused):
        place(store, other, idempotency_key="k")
    assert len(events_of(store)) == 1


def test_the_same_key_of_another_client_is_another_order(store):
    first = place(store, idempotency_key="k")
    second = place(store, idempotency_key="k", client_id=OTHER_CLIENT)
    assert first.placed.order_id != second.placed.order_id


def test_spelling_does_not_make_another_order(store):
    item = {"code": "m", "name": "n", "unit_price": "12.5", "quantity": 1}
    body = {"customer_id": "c", "restaurant_id": "r", "order_items": [item]}
    spelt_otherwise = {
        "order_items": [dict(reversed((item | {"unit_price": Decimal("12.50")}).items()))],
        "created_on": "whenever",
        "currency": "EUR",
        "restaurant_id": "r",
        "customer_id": "c",
    }
    one, two = (
        place(store, order_details(b, default_currency="EUR"), idempotency_key="k")
        for b in (body, spelt_otherwise)
    )
    assert one == two
    assert len(events_of(store)) == 1


def test_an_order_against_the_rules_leaves_no_event(store):
    with pytest.raises(domain.InvalidOrder):
        place(store, replace(DETAILS, items=()), idempotency_key="k")
    assert events_of(store) == []


class SlowReads(InMemoryEventStore):
    """Holds the first readers of an aggregate until `racers` of them have read."""

    def __init__(self, racers: int) -> None:
        super().__init__()
        self.barrier = threading.Barrier(racers, timeout=10)
        self.reads_left = racers
        self.counting = threading.Lock()

    def read_aggregate(self, aggregate_id, from_version=1):
        history = list(super().read_aggregate(aggregate_id, from_version))
        with self.counting:
            self.reads_left -= 1
            racing = self.reads_left >= 0
        if racing:
            self.barrier.wait()
        return history


class SlowAppends(InMemoryEventStore):
    """Holds the first appends until `racers` of them have come."""

    def __init__(self, racers: int) -> None:
        super().__init__()
        self.barrier = threading.Barrier(racers, timeout=10)

    def append(self, events, expected_version=None):
        self.barrier.wait()
        return super().append(events, expected_version)


def at_once(*calls):
    results = [None] * len(calls)

    def run(place_, call):
        try:
            results[place_] = call()
        except Exception as error:
            results[place_] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    return results


def test_the_same_request_many_times_at_once_is_one_order_for_all():
    store = SlowAppends(racers=8)
    answers = at_once(
        *(
            lambda n=n: place(store, idempotency_key="k", now=NOON + timedelta(seconds=n))
            for n in range(8)
        )
    )
    assert len(events_of(store)) == 1
    assert len({answer.placed for answer in answers}) == 1


def test_two_orders_at_once_under_one_key_are_one_order_and_one_refusal():
    store = SlowAppends(racers=2)
    answers = at_once(
        lambda: place(store, idempotency_key="k"),
        lambda: place(store, replace(DETAILS, customer_id="customer-2"), idempotency_key="k"),
    )
    assert len(events_of(store)) == 1
    assert sorted(type(answer).__name__ for answer in answers) == ["IdempotencyKeyReused", "Order"]


class LosesAReply(InMemoryEventStore):
    """Appends the first time, but says that it could not be reached."""

    lost = False

    def append(self, events, expected_version=None):
        appended = super().append(events, expected_version)
        if not self.lost:
            self.lost = True
            raise Unavailable
        return appended


def test_a_retry_after_a_lost_reply_finds_the_order():
    store = LosesAReply()
    with pytest.raises(Unavailable):
        place(store, idempotency_key="k")
    assert place(store, idempotency_key="k").placed.created_on == NOON
    assert len(events_of(store)) == 1


# -- Cancelling


def test_a_paid_order_is_cancelled_by_the_client_that_placed_it(store):
    order_id = place(store).placed.order_id
    debit(store, order_id)
    order, version = cancel_order(order_id, "ordered twice", store=store, caller=OWNER)
    assert (order.status, order.payment_status, order.reason, version) == (
        "cancelled",
        "debited",
        "ordered twice",
        3,
    )
    event = events_of(store)[-1]
    assert event.event_type == "order-cancelled"
    assert event.payload == {"reason": "ordered twice", "by": f"api-client:{CLIENT}"}
    assert event.context["correlation_id"] == str(events_of(store)[0].event_id)


def test_staff_cancel_any_order_in_their_own_name(store):
    order_id = place(store).placed.order_id
    cancel_order(order_id, "", store=store, caller=STAFF)
    assert json.loads(events_of(store)[-1].data)["by"] == "staff:nina"


def test_cancelling_again_answers_as_the_first_time(store):
    order_id = place(store).placed.order_id
    debit(store, order_id)
    first = cancel_order(order_id, "ordered twice", store=store, caller=OWNER)
    happen(store, order_id, "order-payment-refunded", '{"amount": "25.00", "currency": "EUR"}')
    assert cancel_order(order_id, "another reason", store=store, caller=STAFF) == first
    assert [e.event_type for e in events_of(store)].count("order-cancelled") == 1


def test_many_cancellations_at_once_are_one_with_one_answer():
    store = SlowReads(racers=4)
    store.reads_left = 0
    order_id = place(store).placed.order_id
    store.reads_left = 4
    answers = at_once(
        *(
            lambda n=n: cancel_order(order_id, f"reason {n}", store=store, caller=OWNER)
            for n in range(4)
        )
    )
    assert len(events_of(store)) == 2
    assert len(set(answers)) == 1


def test_another_clients_order_can_not_be_told_from_none(store):
    order_id = place(store).placed.order_id
    stranger = Caller(f"api-client:{OTHER_CLIENT}", OTHER_CLIENT)
    refusals = []
    for unknown in (order_id, str(uuid4())):
        with pytest.raises(domain.NoSuchOrder) as refused:
            cancel_order(unknown, "", store=store, caller=stranger)
        refusals.append(str(refused.value))
    assert refusals[0] == refusals[1]
    assert len(events_of(store)) == 1


def test_an_approved_order_is_not_cancelled(store):
    order_id = place(store).placed.order_id
    debit(store, order_id)
    happen(store, order_id, "order-approved")
    with pytest.raises(domain.CannotCancel, match="approved"):
        cancel_order(order_id, "", store=store, caller=OWNER)
    assert len(events_of(store)) == 3


class ApprovesMeanwhile(InMemoryEventStore):
    """The restaurant approves between the cancellation's read and its append."""

    armed = False

    def append(self, events, expected_version=None):
        if self.armed:
            self.armed = False
            happen(self, events[0].aggregate_id, "order-approved")
        return super().append(events, expected_version)


def test_an_approval_that_is_faster_wins_against_a_cancellation():
    store = ApprovesMeanwhile()
    order_id = place(store).placed.order_id
    debit(store, order_id)
    store.armed = True
    with pytest.raises(domain.CannotCancel):
        cancel_order(order_id, "", store=store, caller=OWNER)
    assert events_of(store)[-1].event_type == "order-approved"
