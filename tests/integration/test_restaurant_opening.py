"""Tickets of paid orders: opened and answered once, and kept as the log says."""

from functools import partial
from io import StringIO
from itertools import permutations
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command

from eventstore.client import Event
from eventstore.client.memory import InMemoryEventStore
from restaurant import rows
from restaurant.handlers import REACTIONS, follow_order, open_ticket
from restaurant.models import Restaurant, Ticket
from tests import order_events
from tests.interruptions import DyingAfter, Killed, Meanwhile
from tests.together import together

pytestmark = pytest.mark.django_db(databases=["restaurant"], transaction=True)

APPROVED, REJECTED, CANCELLED = "order-approved", "order-rejected", "order-cancelled"


@pytest.fixture
def store() -> InMemoryEventStore:
    return InMemoryEventStore()


@pytest.fixture(autouse=True)
def restaurants() -> None:
    call_command("create_demo_restaurants", stdout=StringIO(), skip_checks=True)


def paid(store: Any, restaurant_id: str) -> Event:
    created = order_events.place(store, restaurant_id=restaurant_id)
    return order_events.debit(store, created.aggregate_id)


def events(store: Any, cause: Event) -> list[str]:
    """The types of what follows the payment."""
    return order_events.types(store, cause.aggregate_id)[2:]


def test_a_restaurant_that_accepts_by_itself_approves_at_once(store: InMemoryEventStore) -> None:
    debited = paid(store, "pizza-roma")
    open_ticket(debited, store=store)

    approved = store.read_aggregate(debited.aggregate_id)[-1]
    ticket = Ticket.objects.get()
    assert approved.event_type == APPROVED
    assert approved.payload["ticket_id"] == str(ticket.pk)
    assert approved.payload["ready_at"].endswith("Z")
    assert approved.context["causation_id"] == str(debited.event_id)
    assert (ticket.ready_at - debited.recorded_at).total_seconds() == pytest.approx(1200, abs=0.01)
    assert (ticket.state, ticket.version) == (Ticket.State.APPROVED, 3)
    assert (ticket.restaurant_id, str(ticket.amount)) == ("pizza-roma", "25.50")
    assert ticket.items == [
        {"code": "M1", "name": "Margherita", "quantity": 2},
        {"code": "W2", "name": "Water", "quantity": 1},
    ]


def test_a_restaurant_that_answers_in_person_gets_an_open_ticket(
    store: InMemoryEventStore,
) -> None:
    debited = paid(store, "sushi-kyoto")
    open_ticket(debited, store=store)
    assert events(store, debited) == []
    assert Ticket.objects.get(order_id=debited.aggregate_id).state == Ticket.State.OPEN


@pytest.mark.parametrize(
    ("restaurant_id", "reason"),
    [
        ("burger-closed", "restaurant-closed"),
        ("no-such-place", "unknown-restaurant"),
        ("", "unknown-restaurant"),
        ("nul\x00", "unknown-restaurant"),
        ("x" * 300, "unknown-restaurant"),
    ],
)
def test_an_order_for_no_open_restaurant_is_rejected(
    store: InMemoryEventStore, restaurant_id: str, reason: str
) -> None:
    debited = paid(store, restaurant_id)
    open_ticket(debited, store=store)
    assert events(store, debited) == [REJECTED]
    assert store.read_aggregate(debited.aggregate_id)[-1].payload == {"reason": reason}
    assert not Ticket.objects.exists()


def test_ten_deliveries_have_one_effect(store: InMemoryEventStore) -> None:
    for restaurant_id in ("pizza-roma", "sushi-kyoto", "burger-closed"):
        debited = paid(store, restaurant_id)
        for _ in range(10):
            open_ticket(debited, store=store)
        assert len(events(store, debited)) <= 1
    assert Ticket.objects.count() == 2


def test_a_second_delivery_after_the_restaurant_closed_does_not_reject(
    store: InMemoryEventStore,
) -> None:
    debited = paid(store, "sushi-kyoto")
    open_ticket(debited, store=store)
    Restaurant.objects.update(is_open=False)
    open_ticket(debited, store=store)
    assert events(store, debited) == []


def test_a_second_delivery_after_the_terms_changed_keeps_the_first_answer(
    store: InMemoryEventStore,
) -> None:
    debited = paid(store, "pizza-roma")
    with pytest.raises(Killed):
        open_ticket(debited, store=DyingAfter(store, "append"))
    Restaurant.objects.update(preparation_minutes=99, is_open=False)
    open_ticket(debited, store=store)
    assert events(store, debited) == [APPROVED]
    assert Ticket.objects.get().state == Ticket.State.APPROVED


@pytest.mark.parametrize("closing", [order_events.reject, order_events.cancel])
@pytest.mark.parametrize("restaurant_id", ["pizza-roma", "sushi-kyoto", "no-such-place"])
def test_an_order_that_closed_first_gets_no_ticket_and_no_answer(
    store: InMemoryEventStore, closing: Any, restaurant_id: str
) -> None:
    debited = paid(store, restaurant_id)
    closing(store, debited.aggregate_id)
    open_ticket(debited, store=store)
    assert len(events(store, debited)) == 1
    assert not Ticket.objects.exists()


def test_a_cancellation_that_slips_in_before_the_approval_wins(store: InMemoryEventStore) -> None:
    debited = paid(store, "pizza-roma")
    order_id = debited.aggregate_id
    slipping = Meanwhile(store, "append", lambda: order_events.cancel(store, order_id), before=True)
    open_ticket(debited, store=slipping)
    assert events(store, debited) == [CANCELLED]
    assert not Ticket.objects.exists()


@pytest.mark.parametrize("read", [1, 2])
def test_a_cancellation_while_the_ticket_is_being_opened_leaves_none_open(
    store: InMemoryEventStore, read: int
) -> None:
    debited = paid(store, "sushi-kyoto")

    def cancelled_and_noticed() -> None:
        follow_order(order_events.cancel(store, debited.aggregate_id), store=store)

    open_ticket(debited, store=Meanwhile(store, "read_aggregate", cancelled_and_noticed, at=read))
    assert not Ticket.objects.filter(state=Ticket.State.OPEN).exists()


@pytest.mark.parametrize(
    ("restaurant_id", "method", "call", "before"),
    [
        ("pizza-roma", "read_aggregate", 1, False),
        ("pizza-roma", "append", 1, True),
        ("pizza-roma", "append", 1, False),
        ("sushi-kyoto", "read_aggregate", 1, False),
        ("sushi-kyoto", "read_aggregate", 2, True),
        ("sushi-kyoto", "read_aggregate", 2, False),
    ],
)
def test_a_worker_killed_at_any_step_answers_once(
    store: InMemoryEventStore, restaurant_id: str, method: str, call: int, before: bool
) -> None:
    def die() -> None:
        raise Killed

    debited = paid(store, restaurant_id)
    with pytest.raises(Killed):
        open_ticket(debited, store=Meanwhile(store, method, die, at=call, before=before))
    open_ticket(debited, store=store)
    automatic = restaurant_id == "pizza-roma"
    assert Ticket.objects.get().state == ("approved" if automatic else "open")
    assert events(store, debited) == ([APPROVED] if automatic else [])


def test_the_notice_of_an_own_answer_writes_nothing_and_nothing_is_lost(
    store: InMemoryEventStore,
) -> None:
    debited = paid(store, "pizza-roma")
    with pytest.raises(Killed):
        open_ticket(debited, store=DyingAfter(store, "append"))
    approved = store.read_aggregate(debited.aggregate_id)[-1]
    REACTIONS[APPROVED](approved, store=store)
    assert not Ticket.objects.exists()
    open_ticket(debited, store=store)  # comes again, since it was not acknowledged
    assert Ticket.objects.get().state == Ticket.State.APPROVED


def test_what_follows_an_approval_faster_than_its_ticket_is_written_is_not_lost(
    store: InMemoryEventStore,
) -> None:
    debited = paid(store, "pizza-roma")

    def shipped_and_noticed() -> None:
        data = {"courier": "Ada"}
        follow_order(
            order_events.append(store, debited.aggregate_id, "order-shipped", data), store=store
        )

    open_ticket(debited, store=Meanwhile(store, "append", shipped_and_noticed))
    ticket = Ticket.objects.get()
    assert (ticket.state, ticket.courier, ticket.version) == (Ticket.State.SHIPPED, "Ada", 4)


def test_workers_with_the_same_notice_at_once_open_one_ticket(store: InMemoryEventStore) -> None:
    debited = paid(store, "pizza-roma")
    together([partial(open_ticket, debited, store=store)] * 4)
    assert events(store, debited) == [APPROVED]
    assert Ticket.objects.get().state == Ticket.State.APPROVED


def test_notices_in_any_order_bring_the_ticket_to_the_end_of_the_log(
    store: InMemoryEventStore,
) -> None:
    for order in permutations(range(4)):
        debited = paid(store, "pizza-roma")
        open_ticket(debited, store=store)
        order_id = debited.aggregate_id
        order_events.append(store, order_id, "order-shipped", {"courier": "Ada"})
        order_events.append(store, order_id, "order-delivered", {"received_by": "Bob"})
        notices = store.read_aggregate(order_id)[1:]
        for index in order:
            REACTIONS[notices[index].event_type](notices[index], store=store)
            ticket = Ticket.objects.get(order_id=order_id)
            assert (ticket.state, ticket.version) == (Ticket.State.DELIVERED, 5)
        assert (ticket.courier, ticket.received_by) == ("Ada", "Bob")


def test_a_worker_that_overslept_does_not_take_the_ticket_back(store: InMemoryEventStore) -> None:
    debited = paid(store, "sushi-kyoto")
    open_ticket(debited, store=store)

    def rejected_and_noticed() -> None:
        rejected = order_events.reject(store, debited.aggregate_id, "approval-timeout")
        follow_order(rejected, store=store)

    follow_order(debited, store=Meanwhile(store, "read_aggregate", rejected_and_noticed))
    ticket = Ticket.objects.get()
    assert (ticket.state, ticket.reason) == (Ticket.State.REJECTED, "approval-timeout")


def test_a_payment_for_an_order_that_nobody_placed_is_rejected(store: InMemoryEventStore) -> None:
    debited = order_events.debit(store, "stray")
    open_ticket(debited, store=store)
    assert order_events.types(store, "stray")[1:] == [REJECTED]


def test_an_id_that_no_database_takes_is_of_no_restaurant() -> None:
    assert rows.known(uuid4(), "half \ud800").terms is None


def test_demo_restaurants_that_exist_stay_as_they_are() -> None:
    Restaurant.objects.filter(pk="pizza-roma").update(is_open=False)
    call_command("create_demo_restaurants", stdout=StringIO(), skip_checks=True)
    assert not Restaurant.objects.get(pk="pizza-roma").is_open
    assert Restaurant.objects.count() == 3
