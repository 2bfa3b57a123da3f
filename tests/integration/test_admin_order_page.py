"""The page of an order, out of every context."""

from uuid import uuid4

import pytest
from django.contrib.admin.utils import quote
from django.db import OperationalError
from django.urls import reverse

from orders_site.console import order_page
from tests.contract.new_events import new_event, new_events
from tests.integration.admin_users import DATABASES, staff
from tests.order_events import place

pytestmark = pytest.mark.django_db(databases=DATABASES)


def of(order_id):
    return reverse("aggregate", args=[quote(order_id)])


def test_an_order_shows_its_row_its_events_and_what_each_context_knows(boss, world):
    order_id = world.place("nowhere", "26.00")
    body = boss.get(of(order_id)).content.decode()
    for text in (
        *("order-created", "order-payment-debited", "order-rejected", "order-payment-refunded"),
        *("unknown-restaurant", "26.00 EUR", "Refund of 26.00 EUR", "Margherita", "Closed"),
        "The restaurant has none",
    ):
        assert text in body, text


def test_a_waiting_ticket_is_answered_from_the_orders_page(boss, world):
    order_id = world.place("sushi-kyoto")
    body = boss.get(of(order_id)).content.decode()
    assert reverse("admin:restaurant_ticket_approve_this", args=[world.ticket(order_id).pk]) in body


def test_an_order_that_only_the_log_has_is_shown(boss, memory_store):
    order_id = place(memory_store).aggregate_id
    body = boss.get(of(order_id)).content.decode()
    assert "The query model does not have this order yet." in body
    assert "order-created" in body


def test_an_order_that_nobody_has_is_not_there(boss, memory_store):
    assert boss.get(of(str(uuid4()))).status_code == 404


def test_without_the_event_store_the_page_says_so(boss, world, away):
    order_id = world.place("pizza-roma")
    away()
    response = boss.get(of(order_id))
    assert response.status_code == 200
    body = response.content.decode()
    assert "The event store can&#x27;t be reached at the moment." in body
    assert "Margherita" in body


@pytest.mark.parametrize(
    ("read", "words"),
    [
        ("order_view", "The query model can"),
        ("payments_of", "Payments can"),
        ("ticket_of", "The restaurant can"),
        ("saga_of", "Ordering can"),
    ],
)
def test_without_a_contexts_database_the_rest_is_shown(
    read,
    words,
    boss,
    world,
    monkeypatch,
):
    order_id = world.place("pizza-roma")

    def fail(order_id):
        raise OperationalError("no such server")

    monkeypatch.setattr(order_page, read, fail)
    response = boss.get(of(order_id))
    assert response.status_code == 200
    body = response.content.decode()
    assert words in body
    assert "order-approved" in body
    assert "no such server" not in body


def test_each_section_needs_its_own_permission(world):
    order_id = world.place("pizza-roma")
    anna = staff("queries.view_orderrow", "payments.view_payment")
    body = anna.get(of(order_id)).content.decode()
    assert "Margherita" in body
    assert ">Payment<" in body
    for hidden in (">Timeline<", ">Ticket<", ">Saga<", "order-created"):
        assert hidden not in body


def test_an_order_with_very_many_events_shows_the_first_of_them(boss, memory_store):
    order_id = place(memory_store).aggregate_id
    page = order_page.MOST_EVENTS
    memory_store.append(new_events(page, order_id, event_type="order-noted"))
    body = boss.get(of(order_id)).content.decode()
    assert body.count('data-type="') == page
    assert f"Only the first {page} events are shown" in body
    assert f"?q={order_id}" in body
    assert "behind the log" not in body


@pytest.mark.parametrize("part", ["data", "metadata"])
def test_an_event_can_not_blow_its_page_up(boss, memory_store, part):
    order_id = place(memory_store).aggregate_id
    deep = "[" * 400 + "1," * 3_000 + "1" + "]" * 400
    event = new_event(order_id, event_type="order-noted", **{part: f'{{"a": {deep}}}'})
    memory_store.append([event])
    assert len(boss.get(of(order_id)).content) < 500_000
