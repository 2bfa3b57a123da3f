"""The query models read what the other contexts write, and agree with how ordering reads it."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings

from eventstore.client.memory import InMemoryEventStore
from orders_site.money import Money
from orders_site.ordering import handlers
from orders_site.ordering import messages as ordering
from orders_site.ordering.details import OrderDetails, OrderItem
from payments import messages as payments
from queries import messages
from queries.projections import fold
from queries.representations import order_json
from restaurant import domain as restaurant
from restaurant import messages as restaurant_messages
from tests.expected_orders import append_history, histories

CLIENT = UUID(int=7)
NOW = datetime(2026, 3, 1, 12, 0, 0, 250000, tzinfo=UTC)
DETAILS = OrderDetails(
    customer_id="customer-1",
    restaurant_id="pizza-roma",
    currency="EUR",
    items=(OrderItem("M1", "Margherita", Money(1250, "EUR"), 2),),
)


APPROVED = restaurant.OrderApproved(ticket_id=uuid4(), ready_at=NOW)


@pytest.fixture
def store():
    return InMemoryEventStore()


@pytest.fixture
def created(store):
    order = handlers.place_order(
        DETAILS, store=store, client_id=CLIENT, idempotency_key="key-1", now=NOW
    )
    (event,) = store.read_aggregate(order.placed.order_id)
    return event


def test_an_order_as_ordering_places_it_is_read_whole(created):
    fact = messages.read(created)
    assert fact == messages.OrderCreated(
        api_client=CLIENT,
        customer_id="customer-1",
        restaurant_id="pizza-roma",
        created_on=NOW,
        total=Money(2500, "EUR"),
        items=(messages.Item("M1", "Margherita", 1250, 2),),
    )


def test_the_order_in_json_has_the_words_of_the_event(created):
    shown = order_json(fold([created]))
    for name in ("customer_id", "restaurant_id", "created_on", "amount", "currency"):
        assert shown[name] == created.payload[name]
    assert shown["order_items"] == created.payload["order_items"]


def test_money_as_payments_writes_it_is_read(store, created):
    store.append([payments.payment_debited(created, uuid4(), Money(2500, "EUR"), "sandbox", "c")])
    debited = store.read_aggregate(created.aggregate_id)[-1]
    debit = payments.fact_of(debited)
    store.append([payments.payment_refunded(debited, debit, uuid4(), Money(500, "EUR"), "r")])
    view = fold(store.read_aggregate(created.aggregate_id))
    assert (view.status, view.payment_status) == ("paid", "partially_refunded")
    assert (view.debited_minor, view.refunded_minor) == (2500, 500)


def test_a_decline_as_payments_writes_it_is_read(store, created):
    store.append([payments.payment_failed(created, "card_declined", "No money.")])
    assert fold(store.read_aggregate(created.aggregate_id)).payment_status == "failed"


@pytest.mark.parametrize(
    ("decisions", "status", "reason"),
    [
        ([APPROVED], "approved", ""),
        ([restaurant.OrderRejected(reason="closed")], "rejected", "closed"),
        ([APPROVED, restaurant.OrderShipped(courier="Ann")], "shipped", ""),
        (
            [
                APPROVED,
                restaurant.OrderShipped(courier="Ann"),
                restaurant.OrderDelivered(received_by="Bo"),
            ],
            "delivered",
            "",
        ),
    ],
)
def test_decisions_as_the_restaurant_writes_them_are_read(
    store, created, decisions, status, reason
):
    store.append([payments.payment_debited(created, uuid4(), Money(2500, "EUR"), "sandbox", "c")])
    for decision in decisions:
        store.append([restaurant_messages.decided(decision, uuid4(), created)])
    view = fold(store.read_aggregate(created.aggregate_id))
    assert (view.status, view.reason) == (status, reason)


@given(histories())
@settings(max_examples=100, deadline=None)
def test_ordering_and_the_query_model_see_every_history_alike(types):
    events = append_history(InMemoryEventStore(), str(uuid4()), types)
    order, view = ordering.fold(events), fold(events)
    assert (order is None) == (view is None)
    if order and view:
        assert (view.status, view.payment_status) == (order.status, order.payment_status)
        assert (view.reason, view.refunded_minor) == (order.reason, order.refunded)
