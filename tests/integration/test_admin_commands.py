"""What staff do in the admin: once, logged, with the permission for it, and told how it ended."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from eventstore.client.models import ParkedMessage
from orders_site.ordering.models import ApiClient
from orders_site.ordering.models import ParkedMessage as OrderingParked
from payments.models import ParkedMessage as PaymentsParked
from queries.models import ParkedMessage as QueriesParked
from restaurant.models import ParkedMessage as RestaurantParked
from restaurant.models import Ticket
from tests.console_rows import park
from tests.integration.admin_users import DATABASES, staff, told
from tests.order_events import cancel, types

pytestmark = pytest.mark.django_db(databases=DATABASES)

TICKETS = "/admin/restaurant/ticket/"
PARKED = [OrderingParked, PaymentsParked, RestaurantParked, QueriesParked]
STATE = ParkedMessage.State
# Each command on tickets: the commands that lead there, its words, the event it appends.
COMMANDS = [
    ("approve", [], "", "order-approved"),
    ("reject", [], "no more rice", "order-rejected"),
    ("ship", ["approve"], "Mario", "order-shipped"),
    ("deliver", ["approve", "ship"], "Ada", "order-delivered"),
]


def entries():
    return list(LogEntry.objects.values_list("change_message", flat=True).order_by("id"))


def on_list(client, rows, action, words="", url=TICKETS):
    """Choose rows in the list, an action, and answer what it asks."""
    body = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    response = client.post(url, {**body, "index": "0"})
    if response.status_code == 200:
        response = client.post(url, {**body, "confirmed": "yes", "words": words})
    return response


def on_page(client, row, action, words=""):
    """Press the button on the row's own page, and answer what it asks."""
    options = row._meta
    name = f"admin:{options.app_label}_{options.model_name}_{action}_this"
    url = reverse(name, args=[row.pk])
    assert client.get(url).status_code == 200
    return client.post(url, {"confirmed": "yes", "words": words})


def ready_for(world, before):
    order_id = world.place("sushi-kyoto")
    anna = staff(*(f"restaurant.{name}_ticket" for name in (*before, "view")))
    for name in before:
        on_page(anna, world.ticket(order_id), name, "someone")
    LogEntry.objects.all().delete()
    return order_id


@pytest.mark.parametrize("way", [on_list, on_page])
@pytest.mark.parametrize(("command", "before", "words", "event"), COMMANDS)
def test_a_command_on_a_ticket_appends_its_event_and_is_logged(
    way,
    command,
    before,
    words,
    event,
    boss,
    world,
):
    order_id = ready_for(world, before)
    ticket = world.ticket(order_id)
    response = way(boss, [ticket] if way is on_list else ticket, command, words)
    assert response.status_code == 302
    stored = world.store.read_aggregate(order_id)[-1]
    assert stored.event_type == event
    assert stored.context["actor"] == "staff:boss"
    assert len(entries()) == 1
    assert words in entries()[0]
    assert entries()[0] in told(response)[0]
    assert world.ticket(order_id).state == event.removeprefix("order-")


@pytest.mark.parametrize("way", [on_list, on_page])
def test_a_second_click_has_no_second_effect(way, boss, world):
    order_id = world.place("sushi-kyoto")
    chosen = world.ticket(order_id)
    for _ in range(2):
        response = way(boss, [chosen] if way is on_list else chosen, "approve")
    assert types(world.store, order_id).count("order-approved") == 1
    assert entries() == ["Approved."]
    assert "is approved already" in told(response)[-1]


@pytest.mark.parametrize("command", ["approve", "reject", "ship", "deliver"])
def test_who_only_views_tickets_can_run_nothing(command, world):
    order_id = world.place("sushi-kyoto")
    others = {"approve", "reject", "ship", "deliver"} - {command}
    anna = staff("restaurant.view_ticket", *(f"restaurant.{name}_ticket" for name in others))
    ticket = world.ticket(order_id)
    on_list(anna, [ticket], command, "words")
    url = reverse(f"admin:restaurant_ticket_{command}_this", args=[ticket.pk])
    assert anna.get(url).status_code == 403
    assert anna.post(url, {"confirmed": "yes", "words": "words"}).status_code == 403
    assert len(world.store.read_aggregate(order_id)) == 2
    assert entries() == []


def test_a_command_needs_the_permission_to_view_too(world):
    ticket = world.ticket(world.place("sushi-kyoto"))
    anna = staff("restaurant.approve_ticket")
    url = reverse("admin:restaurant_ticket_approve_this", args=[ticket.pk])
    assert anna.post(url, {"confirmed": "yes"}).status_code == 403
    assert world.ticket(ticket.order_id).state == "open"


def test_what_a_ticket_cannot_take_is_said_before_it_is_tried(boss, world):
    open_, approved = (world.ticket(world.place("sushi-kyoto")) for _ in range(2))
    on_page(boss, approved, "approve")
    body = {"action": "reject", "_selected_action": [str(open_.pk), str(approved.pk)]}
    asked = boss.post(TICKETS, {**body, "index": "0"}).content.decode()
    assert asked.count("Not possible, as it is") == asked.count("as it is approved.") == 1
    url = reverse("admin:restaurant_ticket_approve_this", args=[approved.pk])
    assert "Not possible, as it is approved." in boss.get(url).content.decode()
    url = reverse("admin:restaurant_ticket_approve_this", args=[open_.pk])
    assert "Not possible" not in boss.get(url).content.decode()


def test_looking_at_a_button_does_nothing(boss, world):
    ticket = world.ticket(world.place("sushi-kyoto"))
    url = reverse("admin:restaurant_ticket_approve_this", args=[ticket.pk])
    boss.get(url + "?confirmed=yes")
    boss.post(url)
    assert world.ticket(ticket.order_id).state == "open"


@pytest.mark.parametrize("words", ["", "   ", "x" * 201, "a\x00b"])
def test_a_rejection_without_proper_words_asks_again(words, boss, world):
    ticket = world.ticket(world.place("sushi-kyoto"))
    assert on_page(boss, ticket, "reject", words).status_code == 200
    assert on_list(boss, [ticket], "reject", words).status_code == 200
    assert world.ticket(ticket.order_id).state == "open"


def test_what_the_domain_refuses_is_told_for_each_ticket(boss, world):
    open_, gone = world.place("sushi-kyoto"), world.place("sushi-kyoto")
    cancel(world.store, gone)
    response = on_list(boss, [world.ticket(open_), world.ticket(gone)], "approve")
    said = sorted(told(response), key=lambda text: gone in text)
    assert said[0].endswith("Approved.")
    assert said[1].endswith("The order can't be answered any more: it is cancelled.")
    assert entries() == ["Approved."]
    assert on_page(boss, world.ticket(open_), "deliver", "Ada").status_code == 302
    assert types(world.store, open_)[-1] == "order-approved"


def test_without_the_event_store_a_command_says_so(boss, world, away):
    ticket = world.ticket(world.place("sushi-kyoto"))
    away()
    response = on_page(boss, ticket, "approve")
    assert response.status_code == 302
    assert "away for the moment" in told(response)[0]
    assert entries() == []


def test_too_many_tickets_at_once_are_refused(boss, world):
    first = world.ticket(world.place("sushi-kyoto"))
    copies = [
        Ticket(order_id=f"copy-{number}", amount_minor=1, currency="EUR", id=f"{number:032x}")
        for number in range(1, 102)
    ]
    Ticket.objects.bulk_create(copies)
    response = on_list(boss, [first, *copies], "approve")
    assert told(response) == ["At most 100 at once; nothing was done."]
    assert world.ticket(first.order_id).state == "open"


def test_a_tickets_page_offers_what_its_state_allows(boss, world):
    ticket = world.ticket(world.place("sushi-kyoto"))

    def offered():
        body = boss.get(f"{TICKETS}{ticket.pk}/change/").content.decode()
        return set(re.findall(rf"{ticket.pk}/(\w+)/\"", body)) - {"history", "change"}

    assert offered() == {"approve", "reject"}
    on_page(boss, ticket, "approve")
    assert offered() == {"ship"}


@pytest.mark.parametrize("model", PARKED, ids=lambda model: model._meta.app_label)
@pytest.mark.parametrize(
    ("command", "state"), [("retry", STATE.RETRY), ("discard", STATE.DISCARDED)]
)
def test_a_parked_message_is_retried_or_discarded_once(model, command, state, boss):
    first, second = park(model, "order-1"), park(model, "order-2")
    url = f"/admin/{model._meta.app_label}/parkedmessage/"
    for _ in range(2):
        on_list(boss, [first], command, url=url)
        on_page(boss, second, command)
    assert set(model.objects.values_list("state", flat=True)) == {state}
    assert len(entries()) == 2


@pytest.mark.parametrize("model", PARKED, ids=lambda model: model._meta.app_label)
def test_parked_messages_need_the_contexts_own_permission(model):
    label = model._meta.app_label
    other = "payments" if label != "payments" else "queries"
    anna = staff(
        f"{label}.view_parkedmessage",
        f"{other}.retry_parkedmessage",
        f"{other}.discard_parkedmessage",
    )
    parked = park(model, "order-1")
    for command in ("retry", "discard"):
        on_list(anna, [parked], command, url=f"/admin/{label}/parkedmessage/")
        url = reverse(f"admin:{label}_parkedmessage_{command}_this", args=[parked.pk])
        assert anna.post(url, {"confirmed": "yes"}).status_code == 403
    parked.refresh_from_db()
    assert parked.state == STATE.PARKED
    assert entries() == []


def test_a_new_clients_token_is_shown_once_and_kept_nowhere(boss):
    response = boss.post("/admin/ordering/apiclient/add/", {"name": "till 7"}, follow=True)
    (token,) = re.findall(r"ord_[A-Za-z0-9_-]{43}", response.content.decode())
    client = ApiClient.authenticate(token)
    assert client is not None
    assert client.name == "till 7"
    page = f"/admin/ordering/apiclient/{client.pk}/change/"
    for url in ("/admin/ordering/apiclient/", page):
        body = boss.get(url).content.decode()
        assert token not in body
        assert client.token_hash not in body
    assert not any(token in message or client.token_hash in message for message in entries())


def test_a_clients_name_that_is_taken_or_malformed_is_refused(boss):
    ApiClient.issue("till 7")
    for name in ("till 7", "", "x" * 101, "a\x00b", "a\x07b"):
        assert boss.post("/admin/ordering/apiclient/add/", {"name": name}).status_code == 200
    assert ApiClient.objects.count() == 1


@pytest.mark.parametrize("way", [on_list, on_page])
def test_a_client_is_deactivated_and_activated(way, boss):
    client, token = ApiClient.issue("till 7")
    for command, known in (("deactivate", False), ("activate", True)):
        if way is on_list:
            on_list(boss, [client], command, url="/admin/ordering/apiclient/")
        else:
            on_page(boss, client, command)
        assert (ApiClient.authenticate(token) is not None) is known
    assert entries() == ["Made inactive.", "Made active."]


def test_clients_are_switched_only_with_the_permission_and_never_deleted(boss):
    client, token = ApiClient.issue("till 7")
    anna = staff("ordering.view_apiclient", "ordering.add_apiclient")
    on_list(anna, [client], "deactivate", url="/admin/ordering/apiclient/")
    url = reverse("admin:ordering_apiclient_deactivate_this", args=[client.pk])
    assert anna.post(url, {"confirmed": "yes"}).status_code == 403
    assert (
        boss.post(f"/admin/ordering/apiclient/{client.pk}/delete/", {"post": "yes"}).status_code
        == 403
    )
    assert ApiClient.authenticate(token) is not None
