"""The first page of the admin: figures, links to what they count, and parts that may be away."""

import threading
import time
from dataclasses import replace
from datetime import UTC, timedelta

import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from orders_site.console.parts import Parts
from orders_site.console.questions import QUESTIONS
from orders_site.ordering.models import OrderSaga
from orders_site.ordering.models import ParkedMessage as OrderingParked
from payments.models import ParkedMessage as PaymentsParked
from queries.models import Checkpoint, OrderRow, RestaurantSummary
from tests.console_rows import park
from tests.integration.admin_users import DATABASES, staff

# The parts are asked in threads of their own, which see only what is committed.
pytestmark = pytest.mark.django_db(databases=DATABASES, transaction=True)

ALIASES = {
    "payments": "Payments database",
    "restaurant": "Restaurant database",
    "queries": "Queries database",
    "eventstore": "Event log database",
}


def landing(client: Client) -> str:
    began = time.monotonic()
    response = client.get(reverse("admin:index"))
    assert response.status_code == 200
    assert time.monotonic() - began < 5
    return response.content.decode()


def cards(client: Client) -> dict[str, dict[str, int]]:
    response = client.get(reverse("admin:index"))
    return {
        card.title: {figure.name: figure.number for figure in card.figures}
        for card in response.context["cards"]
    }


def test_without_orders_the_page_says_so_in_words(boss, memory_store):
    body = landing(boss)
    for words in (
        "None yet.",
        "Nobody has to answer a ticket.",
        "Nothing is parked.",
        "No saga has an alarm.",
        "No subscription has begun yet.",
    ):
        assert words in body


def test_an_order_that_is_paid_while_its_saga_is_parked_is_an_alarm(boss, world):
    paid, rejected = world.place("sushi-kyoto"), world.place("nowhere")
    park(OrderingParked, "order-without-payment")
    park(OrderingParked, rejected)
    assert cards(boss)["Saga alarms"] == {}
    park(OrderingParked, paid)
    assert cards(boss)["Saga alarms"] == {"paid, and not followed: parked": 1}


def test_every_figure_leads_to_what_it_counts(boss, world):
    world.place("pizza-roma")
    world.place("sushi-kyoto")
    world.place("nowhere")
    park(PaymentsParked, "order-1")
    OrderSaga.objects.filter(order_status="paid").update(
        state="awaiting-refund", deadline=None, alarm="The refund was due."
    )
    now = timezone.now()
    OrderRow.objects.update(created_on=now)
    RestaurantSummary.objects.update(day=now.astimezone(UTC).date())
    assert cards(boss) == {
        "Orders today": {"paid": 1, "approved": 1, "rejected": 1},
        "Payments today": {"debited": 2, "refunded": 1},
        "Waiting for a person": {"tickets to answer": 1},
        "Parked messages": {"payments": 1},
        "Saga alarms": {"refunds overdue": 1},
    }
    response = boss.get(reverse("admin:index"))
    for card in response.context["cards"]:
        for figure in card.figures:
            found = boss.get(figure.link).context["cl"]
            assert found.result_count == figure.number, figure


def test_who_may_see_no_parked_messages_is_not_told_that_there_are_none(world):
    anna = staff("restaurant.view_ticket")
    park(PaymentsParked, "order-1")
    assert "Nothing is parked." not in landing(anna)


def test_a_card_needs_the_permission_to_view_what_it_counts(world):
    anna = staff("restaurant.view_ticket", "payments.view_parkedmessage")
    world.place("sushi-kyoto")
    park(PaymentsParked, "order-1")
    assert cards(anna) == {
        "Waiting for a person": {"tickets to answer": 1},
        "Parked messages": {"payments": 1},
    }


@pytest.mark.parametrize("alias", ALIASES)
def test_a_database_that_is_away_never_breaks_the_page(
    alias,
    boss,
    memory_store,
    monkeypatch,
):
    connections[alias].close()
    monkeypatch.setitem(connections.settings[alias], "HOST", "/nowhere")
    boss_sees = boss.get(reverse("admin:index"))
    assert boss_sees.status_code == 200
    lines = {line.name: line.words for line in boss_sees.context["parts"]}
    assert lines[ALIASES[alias]] == "can't be reached"
    assert [name for name, words in lines.items() if words == "answers"] == [
        name for name in ("Orders database", *ALIASES.values()) if name != ALIASES[alias]
    ]
    assert "/nowhere" not in boss_sees.content.decode()


def test_an_event_store_that_is_away_never_breaks_the_page(boss, world, away):
    away()
    body = landing(boss)
    assert "Event store (gRPC)" in body
    assert "can&#x27;t be reached" in body


def test_nats_is_seen_when_it_is_there(boss, memory_store, nats_server):
    lines = {line.name: line.words for line in boss.get("/admin/").context["parts"]}
    assert lines["NATS"] == "answers"
    nats_server.stop()
    lines = {line.name: line.words for line in boss.get("/admin/").context["parts"]}
    assert lines["NATS"] == "can't be reached"


def test_a_subscription_shows_how_far_it_is_behind(boss, world):
    world.place("pizza-roma")
    head = world.store.head()
    Checkpoint.objects.create(subscription="late", log_id=head.log_id, position=1)
    Checkpoint.objects.create(subscription="there", log_id=head.log_id, position=head.position)
    lines = {line.name: line.words for line in boss.get("/admin/").context["subscriptions"]}
    assert lines["there"] == "has everything"
    assert lines["late"].startswith("2 behind, the next one waiting for 0:00:0")


def test_the_time_in_which_nothing_happened_does_not_count_as_being_stuck(boss, world):
    head = world.store.head()
    row = Checkpoint.objects.create(subscription="late", log_id=head.log_id, position=0)
    Checkpoint.objects.filter(pk=row.pk).update(updated_at=timezone.now() - timedelta(hours=1))
    world.place("pizza-roma")
    lines = {line.name: line for line in boss.get("/admin/").context["subscriptions"]}
    assert lines["late"].words.startswith("3 behind, the next one waiting for 0:00:0")
    assert lines["late"].tone == "info"


def test_a_subscription_that_goes_through_an_old_log_is_not_stuck(boss, world):
    world.place("pizza-roma")
    aged = [
        replace(event, recorded_at=event.recorded_at - timedelta(days=9))
        for event in world.store.read_stream()
    ]
    world.store.read_stream = lambda first, limit: aged[first - 1 : first - 1 + limit]
    head = world.store.head()
    moves = Checkpoint.objects.create(subscription="moves", log_id=head.log_id, position=1)
    stands = Checkpoint.objects.create(subscription="stands", log_id=head.log_id, position=1)
    hour_ago = timezone.now() - timedelta(hours=1)
    Checkpoint.objects.filter(pk=stands.pk).update(updated_at=hour_ago)
    tones = {line.name: line.tone for line in boss.get("/admin/").context["subscriptions"]}
    assert tones == {moves.pk: "info", stands.pk: "warning"}


def test_a_part_that_hangs_costs_the_deadline_and_one_thread():
    hang, asked = threading.Event(), []

    def hanging():
        asked.append(threading.get_ident())
        hang.wait(30)
        return "late"

    parts = Parts({"quick": lambda: "here", "hanging": hanging})
    try:
        for _ in range(5):
            began = time.monotonic()
            answers = parts.ask(0.1)
            assert time.monotonic() - began < 1
            assert answers["quick"].value == "here"
            assert answers["hanging"].problem == "no answer in time"
        assert len(asked) == 1
    finally:
        hang.set()
    deadline = time.monotonic() + 5
    while parts.ask(0.1)["hanging"].problem and time.monotonic() < deadline:
        pass
    assert parts.ask(0.1)["hanging"].value == "late"


def test_a_fault_of_a_question_is_told_without_its_text():
    parts = Parts({"broken": lambda: 1 // 0})
    assert parts.ask(5)["broken"].problem == "could not answer; the log says why"


def test_every_part_is_asked():
    assert set(QUESTIONS) == {
        *("ordering", "payments", "restaurant", "queries", "log", "event store", "NATS")
    }
