"""Every page of the admin: there for who may see it, read-only where it shows history."""

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, User
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from eventstore.models import StoredEvent, StreamHead
from orders_site.ordering.models import ApiClient, OrderSaga
from orders_site.ordering.models import ParkedMessage as OrderingParked
from payments.models import ParkedMessage as PaymentsParked
from payments.models import Payment, Refund
from queries.models import CustomerSummary, OrderRow, RestaurantSummary
from queries.models import ParkedMessage as QueriesParked
from restaurant.models import ParkedMessage as RestaurantParked
from restaurant.models import Restaurant, Ticket
from tests.console_rows import XSS, park
from tests.integration.admin_users import DATABASES, staff
from tests.order_events import append

pytestmark = pytest.mark.django_db(databases=DATABASES)

PARKED = [OrderingParked, PaymentsParked, RestaurantParked, QueriesParked]
HISTORY = [
    *(StoredEvent, StreamHead, OrderRow, CustomerSummary, RestaurantSummary),
    *(Payment, Refund, Ticket, OrderSaga, LogEntry),
    *PARKED,
]
# The URLs load it.
admin.autodiscover()
ALL = sorted(admin.site._registry, key=lambda model: model._meta.label)
BAD_QUERIES = [
    *("status__exact=%00", "status__regex=(((", "state__regex=(((", "state__exact=%00"),
    *("username__regex=(((", "name__regex=(((", "password__startswith=a", "object_repr__regex=(("),
    *("nothing=1", "id__in=a,b", "pk=%ff", "order_id__icontains=a", "data__contains=a"),
    *("q=%00", "q=" + "x" * 5000, "q=99999999999999999999999999", "q=%ed%a0%80", "q=%F0%9F%98%80"),
    *("p=0", "p=-1", "p=99999999999999999999", "p=x", "o=1.2", "o=-", "o=999", "all=", "e=1"),
    *("created_at_from=x", "created_at_from=2026-13-45", "created_at_to=9999-12-31"),
    *("recorded_at_from_0=2026-02-30", "recorded_at_from_0=0001-01-01&recorded_at_from_1=zz"),
    *("stream=nowhere", "event_type=%00", "aggregate_type=';--", "state__exact=a&state__exact=b"),
    *("_facets=True", "_popup=1", "_to_field=nope", "is_open__exact=maybe", "attention=x"),
    *("day_from=x&day_to=y", "_changelist_filters=%00", "state__isnull=x", "created_at__gte=x"),
]


def page(model, name, *arguments):
    options = model._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_{name}", args=arguments)


@pytest.fixture
def filled(world):
    """A row of every kind."""
    approved, waiting = world.place("pizza-roma"), world.place("sushi-kyoto")
    world.place("nowhere")
    for model in PARKED:
        park(model, waiting)
    ApiClient.issue("someone")
    return approved


@pytest.mark.parametrize("model", ALL, ids=lambda model: model._meta.label)
def test_an_empty_list_is_a_page(model, boss, memory_store):
    assert boss.get(page(model, "changelist")).status_code == 200


@pytest.mark.parametrize("model", HISTORY, ids=lambda model: model._meta.label)
def test_an_empty_list_of_history_tells_nobody_to_add_to_it(model, boss, memory_store):
    body = boss.get(page(model, "changelist")).content.decode()
    assert f"No {model._meta.verbose_name_plural} yet" in body
    assert "are only shown here" in body
    assert "Create a new item" not in body


def test_a_list_that_a_search_empties_leads_back_to_all(boss, filled):
    body = boss.get(page(Ticket, "changelist") + "?q=nobody").content.decode()
    assert "No tickets are like this" in body
    assert "Show all" in body


def test_times_in_lists_say_that_they_are_utc(boss, filled):
    payment = Payment.objects.order_by("-created_at", "-id")[0]
    body = boss.get(page(Payment, "changelist")).content.decode()
    assert f"{payment.created_at:%Y-%m-%d %H:%M:%S} UTC" in body


@pytest.mark.parametrize(("model", "field"), [(User, "user_permissions"), (Group, "permissions")])
def test_only_permissions_that_allow_something_are_offered(model, field, boss):
    row = User.objects.get() if model is User else Group.objects.create(name="kitchen")
    form = boss.get(page(model, "change", row.pk)).context["adminform"].form
    offered = {
        f"{each.content_type.app_label}.{each.codename}" for each in form.fields[field].queryset
    }
    assert offered >= {
        *("payments.view_payment", "payments.retry_parkedmessage", "restaurant.approve_ticket"),
        *("restaurant.change_restaurant", "ordering.add_apiclient", "ordering.change_apiclient"),
        *("ordering.view_all_orders", "ordering.cancel_order", "auth.delete_user"),
    }
    assert not offered & {
        *("payments.change_payment", "restaurant.add_ticket", "ordering.delete_apiclient"),
        *("eventstore.delete_storedevent", "queries.delete_parkedmessage", "admin.add_logentry"),
        *("payments.change_checkpoint", "queries.view_orderitemrow", "sessions.add_session"),
    }


def test_every_list_and_row_is_a_page(boss, filled):
    boss.post(page(ApiClient, "add"), {"name": "for an entry in the audit log"})
    for model in ALL:
        assert boss.get(page(model, "changelist")).status_code == 200, model
        row = model._default_manager.first()
        if row is not None:
            assert boss.get(page(model, "change", quote(row.pk))).status_code == 200, model
    assert all(model._default_manager.exists() for model in HISTORY)


@pytest.mark.parametrize("model", HISTORY, ids=lambda model: model._meta.label)
def test_history_is_not_changed_even_by_a_superuser(model, boss, filled):
    boss.post(page(ApiClient, "add"), {"name": "for an entry in the audit log"})
    row = model._default_manager.first()
    before = model._default_manager.count()
    for url in (page(model, "add"), page(model, "delete", quote(row.pk))):
        assert boss.get(url).status_code == 403
        assert boss.post(url, {"post": "yes"}).status_code == 403
    assert boss.post(page(model, "change", quote(row.pk)), {"state": "x"}).status_code == 403
    action = {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"}
    boss.post(page(model, "changelist"), {**action, "index": "0"})
    boss.post(page(model, "changelist"), action)
    assert model._default_manager.count() == before


def test_restaurants_are_edited(boss, world):
    values = {"name": "Sushi Osaka", "accepts_automatically": "on", "preparation_minutes": "5"}
    response = boss.post(page(Restaurant, "change", "sushi-kyoto"), values)
    assert response.status_code == 302
    changed = Restaurant.objects.get(pk="sushi-kyoto")
    assert (changed.name, changed.is_open, changed.preparation_minutes) == ("Sushi Osaka", False, 5)


@pytest.mark.parametrize("model", ALL, ids=lambda model: model._meta.label)
def test_without_the_permission_to_view_there_is_no_page(model, memory_store):
    nobody = staff()
    assert nobody.get(page(model, "changelist")).status_code == 403


def test_the_permission_to_view_shows_a_list_and_no_other(filled):
    anna = staff("restaurant.view_ticket")
    assert anna.get(page(Ticket, "changelist")).status_code == 200
    assert anna.get(page(Ticket, "change", quote(Ticket.objects.first().pk))).status_code == 200
    assert anna.get(page(Payment, "changelist")).status_code == 403
    assert anna.get(reverse("aggregate", args=[quote(filled)])).status_code == 403


@pytest.mark.parametrize(
    ("model", "lead"),
    [
        *((model, "queries.view_orderrow") for model in (StoredEvent, Ticket, Payment, OrderSaga)),
        (PaymentsParked, "queries.view_orderrow"),
    ],
)
def test_a_link_to_an_order_is_for_who_may_open_it(model, lead, filled):
    options = model._meta
    own = f"{options.app_label}.view_{options.model_name}"
    row = model._default_manager.first()
    order_id = getattr(row, "order_id", "") or row.aggregate_id
    link = reverse("aggregate", args=[quote(order_id)])
    pages = [page(model, "changelist"), page(model, "change", quote(row.pk))]
    anna = staff(own)
    for url in pages:
        body = anna.get(url).content.decode()
        assert order_id in body
        assert link not in body
    User.objects.all().delete()
    carl = staff(own, lead)
    assert any(link in carl.get(url).content.decode() for url in pages)


def test_a_link_to_the_event_that_was_parked_is_for_who_may_open_it(filled):
    row = PaymentsParked.objects.get()
    link = page(StoredEvent, "change", quote(row.event_id))
    for more, linked in (((), False), (("eventstore.view_storedevent",), True)):
        User.objects.all().delete()
        anna = staff("payments.view_parkedmessage", *more)
        body = anna.get(page(PaymentsParked, "change", quote(row.pk))).content.decode()
        assert row.event_id in body
        assert (link in body) is linked


@pytest.mark.parametrize("query", BAD_QUERIES)
def test_bad_input_is_never_an_error_of_ours(query, boss, filled):
    for model in (StoredEvent, OrderRow, Payment, Ticket, OrderSaga, RestaurantParked, ApiClient):
        response = boss.get(f"{page(model, 'changelist')}?{query}")
        assert response.status_code < 500, (model, query)
    for model in (Restaurant, CustomerSummary, LogEntry, User, Group):
        assert boss.get(f"{page(model, 'changelist')}?{query}").status_code < 500, (model, query)


@pytest.mark.parametrize("junk", ["x", "%00", "0" * 300, "a_2Fb", "'; --", "_ZZ", "%ff"])
def test_a_junk_id_in_the_path_is_no_error_of_ours(junk, boss, filled):
    for model in (StoredEvent, OrderRow, Payment, Ticket, OrderSaga, RestaurantParked, ApiClient):
        for name in ("change", "history", "delete"):
            url = page(model, name, "JUNK").replace("JUNK", junk)
            assert boss.get(url).status_code < 500, url
    assert boss.get(f"/admin/orders/{junk}/").status_code in (400, 404)


@pytest.mark.parametrize("chosen", [["x"], ["\x00"], ["0" * 500], [""], ["1", "2"], []])
def test_junk_ids_in_a_bulk_action_are_no_error_of_ours(chosen, boss, filled):
    for model, action in (
        (Ticket, "approve"),
        (RestaurantParked, "retry"),
        (ApiClient, "activate"),
    ):
        body = {"action": action, "_selected_action": chosen, "index": "0"}
        assert boss.post(page(model, "changelist"), body).status_code < 500, model
    body = {"action": "nothing", "_selected_action": chosen, "index": "x", "select_across": "1"}
    assert boss.post(page(Ticket, "changelist"), body).status_code < 500
    assert Ticket.objects.get(state="open").version == 2


def test_a_payload_is_shown_and_never_run(boss, world):
    order_id = world.place("sushi-kyoto")
    append(world.store, order_id, "order-rejected", {"reason": XSS})
    world.settle()
    parked = park(RestaurantParked, order_id)
    Restaurant.objects.create(id="bad", name=XSS)
    last = StoredEvent.objects.get(aggregate_id=order_id, event_type="order-rejected")
    for url in (
        reverse("aggregate", args=[quote(order_id)]),
        page(StoredEvent, "change", quote(last.pk)),
        page(RestaurantParked, "change", quote(parked.pk)),
        page(RestaurantParked, "changelist"),
        page(Restaurant, "changelist"),
        page(Ticket, "change", quote(world.ticket(order_id).pk)),
    ):
        body = boss.get(url).content.decode()
        assert "&lt;script&gt;" in body, url
        assert XSS not in body, url


def test_an_event_shows_its_neighbours_and_its_order(boss, world):
    order_id = world.place("pizza-roma")
    second = StoredEvent.objects.get(aggregate_id=order_id, version=2)
    body = boss.get(page(StoredEvent, "change", quote(second.pk))).content.decode()
    assert bytes(second.hash).hex() in body
    assert reverse("aggregate", args=[quote(order_id)]) in body
    for version in (1, 3):
        other = StoredEvent.objects.get(aggregate_id=order_id, version=version)
        assert page(StoredEvent, "change", quote(other.pk)) in body


def test_events_are_found_by_exact_ids_types_and_times(boss, world):
    order_id, other = world.place("pizza-roma"), world.place("sushi-kyoto")
    created = StoredEvent.objects.get(aggregate_id=order_id, version=1)

    def found(query):
        response = boss.get(f"{page(StoredEvent, 'changelist')}?{query}")
        return [event.position for event in response.context["cl"].result_list]

    assert found("") == [5, 4, 3, 2, 1]
    assert found(f"q={order_id}") == [3, 2, 1]
    assert found(f"q={created.event_id}") == [created.position]
    assert found("q=4") == [4]
    assert found(f"q={order_id[:-1]}") == []
    assert found("event_type=order-approved") == [3]
    assert found("aggregate_type=order&q=" + other) == [5, 4]
    assert found("stream=OTHER") == []
    day = created.recorded_at.date().isoformat()
    assert found(f"recorded_at_from_0={day}&recorded_at_to_0={day}") == [5, 4, 3, 2, 1]
    assert found("recorded_at_to_0=2020-01-01") == []


def test_lists_count_with_a_limit_and_never_sort_as_they_are_told(boss, filled):
    for model in (StoredEvent, OrderRow, Payment, Ticket):
        alias = model._default_manager.db
        with CaptureQueriesContext(connections[alias]) as captured:
            boss.get(page(model, "changelist") + "?o=2.-3.1")
        queries = [query["sql"] for query in captured]
        counts = [sql for sql in queries if "COUNT(" in sql]
        assert counts
        assert all("LIMIT 10001" in sql for sql in counts), counts
        assert not any("DISTINCT" in sql for sql in queries)
        lists = [sql for sql in queries if "ORDER BY" in sql and "COUNT(" not in sql]
        first = admin.site.get_model_admin(model).get_ordering(None or _Plain())[0].lstrip("-")
        assert all(f'"{first}"' in sql for sql in lists[-1:])


class _Plain:
    GET: dict[str, str] = {}
