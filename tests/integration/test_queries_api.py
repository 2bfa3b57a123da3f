"""One order and its events over the REST API: who sees it, how new it is, what is refused."""

import json
import threading
from datetime import datetime
from uuid import uuid4

import pytest
from rest_framework.test import APIClient as Browser

from eventstore.client import NewEvent
from eventstore.client.connection import use
from eventstore.client.memory import InMemoryEventStore
from queries import lookup
from queries.projector import OrderProjector
from tests.expected_orders import append, place
from tests.integration.queries_browsers import Away, browser_of, caught_up, refusal, staff_browser
from tests.integration.test_queries_projector import all_events, deliver

pytestmark = pytest.mark.django_db(databases=["default", "queries"], transaction=True)


@pytest.fixture
def store(memory_store):
    return memory_store


@pytest.fixture
def mine():
    return browser_of("mine")


@pytest.fixture
def other():
    return browser_of("other")


@pytest.fixture
def staff():
    return staff_browser("view_all_orders")


def test_an_order_is_the_same_from_the_log_and_from_the_query_model(store, mine):
    order_id = place(store, mine.id)
    append(store, order_id, "order-payment-debited")
    from_log = mine.get(f"/api/orders/{order_id}").json()
    caught_up(store)
    use(Away())
    assert mine.get(f"/api/orders/{order_id}").json() == from_log
    assert from_log == {
        "order_id": order_id,
        "customer_id": "customer-1",
        "restaurant_id": "pizza-roma",
        "status": "paid",
        "payment_status": "debited",
        "amount": "25.50",
        "currency": "EUR",
        "order_items": [
            {"code": "M1", "name": "Margherita", "unit_price": "12.50", "quantity": 2},
            {"code": "W2", "name": "Water", "unit_price": "0.50", "quantity": 1},
        ],
        "created_on": "2026-03-01T12:00:00.250000Z",
        "version": 2,
        "reason": "",
    }


def test_an_order_of_another_client_is_not_found_anywhere(store, mine, other, monkeypatch):
    monkeypatch.setattr(lookup, "LONGEST_WAIT_SECONDS", 0)
    order_id = place(store, mine.id)
    for _ in ("from the log", "from the query model"):
        refusal(other.get(f"/api/orders/{order_id}"), 404)
        refusal(other.get(f"/api/orders/{order_id}?min_version=9"), 404)
        refusal(other.get(f"/api/orders/{order_id}/events"), 404)
        assert other.get("/api/orders").json()["results"] == []
        caught_up(store)


def test_an_order_without_a_client_is_seen_by_staff_only(store, mine, staff):
    order_id = str(uuid4())
    append(store, order_id, "order-created")
    for _ in ("from the log", "from the query model"):
        refusal(mine.get(f"/api/orders/{order_id}"), 404)
        assert staff.get(f"/api/orders/{order_id}").status_code == 200
        caught_up(store)


def test_an_unknown_order_is_not_found(store, mine, staff):
    for browser in (mine, staff):
        refusal(browser.get(f"/api/orders/{uuid4()}"), 404)
        refusal(browser.get(f"/api/orders/{uuid4()}/events"), 404)
    assert mine.get("/api/orders/not-a-uuid").status_code == 404


def test_an_unknown_order_has_one_answer_to_whatever_is_asked_of_it(store, mine):
    address = f"/api/orders/{uuid4()}"
    answers = [mine.get(address), mine.get(f"{address}/events"), mine.post(f"{address}/cancel")]
    (problem,) = {answer.content: refusal(answer, 404) for answer in answers}.values()
    assert problem == {
        "type": "/problems/no-such-order",
        "title": "Not Found",
        "status": 404,
        "detail": "There is no such order.",
    }


def test_an_order_is_found_by_its_id_in_capitals_too(store, mine):
    order_id = place(store, mine.id)
    address = f"/api/orders/{order_id}"
    loud = f"/api/orders/{order_id.upper()}"
    assert loud != address
    assert mine.get(loud).json() == mine.get(address).json()
    assert mine.get(f"{loud}/events").json() == mine.get(f"{address}/events").json()
    assert mine.post(f"{loud}/cancel").json()["order_id"] == order_id
    assert {event.aggregate_id for event in all_events(store)} == {order_id}


def test_a_format_is_a_parameter_that_there_is_none_of(store, mine):
    order_id = place(store, mine.id)
    for path in ("/api/orders", f"/api/orders/{order_id}", f"/api/orders/{order_id}/events"):
        refusal(mine.get(f"{path}?format=xml"), 400, "format")


def test_an_aggregate_that_is_no_order_is_not_found(store, staff):
    aggregate_id = str(uuid4())
    event = append(InMemoryEventStore(), aggregate_id, "order-created")
    fields = {name: getattr(event, name) for name in ("event_id", "event_type", "data")}
    store.append([NewEvent(**fields, aggregate_id=aggregate_id, aggregate_type="parcel")])
    refusal(staff.get(f"/api/orders/{aggregate_id}"), 404)
    refusal(staff.get(f"/api/orders/{aggregate_id}/events"), 404)


def test_a_version_that_the_query_model_lacks_comes_from_the_log(store, mine, monkeypatch):
    monkeypatch.setattr(lookup, "LONGEST_WAIT_SECONDS", 0.05)
    order_id = place(store, mine.id)
    caught_up(store)
    append(store, order_id, "order-payment-debited")
    assert mine.get(f"/api/orders/{order_id}").json()["version"] == 1
    assert mine.get(f"/api/orders/{order_id}?min_version=2").json()["version"] == 2


def test_a_version_that_the_query_model_gets_meanwhile_is_waited_for(store, mine, monkeypatch):
    monkeypatch.setattr(lookup, "LONGEST_WAIT_SECONDS", 30)
    order_id = place(store, mine.id)
    caught_up(store)
    append(store, order_id, "order-payment-debited")
    events, waiting = all_events(store), threading.Event()

    def versions(order_id, version=lookup.reads.version):
        if not waiting.is_set():
            waiting.set()
            deliver(OrderProjector(store), store, events)
            return 1
        return version(order_id)

    monkeypatch.setattr(lookup.reads, "version", versions)
    use(Away())
    assert mine.get(f"/api/orders/{order_id}?min_version=2").json()["version"] == 2
    assert waiting.is_set()


def test_when_enough_requests_wait_the_next_goes_straight_to_the_log(store, mine, monkeypatch):
    monkeypatch.setattr(lookup, "LONGEST_WAIT_SECONDS", 60)
    monkeypatch.setattr(lookup, "_waiting", threading.BoundedSemaphore(1))
    order_id = place(store, mine.id)
    caught_up(store)
    append(store, order_id, "order-payment-debited")
    assert lookup._waiting.acquire(blocking=False)
    assert mine.get(f"/api/orders/{order_id}?min_version=2").json()["version"] == 2


def test_a_version_that_does_not_exist_is_answered_with_what_there_is(store, mine, monkeypatch):
    monkeypatch.setattr(lookup, "LONGEST_WAIT_SECONDS", 0)
    order_id = place(store, mine.id)
    assert mine.get(f"/api/orders/{order_id}?min_version=99").json()["version"] == 1


def test_an_order_that_can_not_be_read_to_its_end_is_answered_as_far_as_it_can(store, mine):
    order_id = place(store, mine.id)
    append(store, order_id, "order-approved", schema_version=9)
    assert mine.get(f"/api/orders/{order_id}").json()["version"] == 1
    unreadable = str(uuid4())
    append(store, unreadable, "order-created", {"no": "order"}, api_client=str(mine.id))
    refusal(mine.get(f"/api/orders/{unreadable}"), 404)
    refusal(mine.get(f"/api/orders/{unreadable}/events"), 404)


def test_a_number_that_no_float_holds_does_not_keep_the_events_from_being_shown(store, mine):
    order_id = place(store, mine.id)
    wild = '{"weight":1e400}'
    event = NewEvent(
        event_id=uuid4(),
        event_type="order-weighed",
        aggregate_id=order_id,
        aggregate_type="order",
        data=wild,
    )
    store.append([event])
    results = mine.get(f"/api/orders/{order_id}/events").json()["results"]
    assert [each["data"] for each in results[1:]] == [wild]


@pytest.mark.parametrize(
    "query",
    ["", "0", "-1", "1.0", "٣", "1e3", "9223372036854775808", "9" * 200, "1&min_version=2", "%ff"],
)
def test_a_bad_version_is_refused(store, mine, query):
    order_id = place(store, mine.id)
    refusal(mine.get(f"/api/orders/{order_id}?min_version={query}"), 400, "min_version")


def test_an_order_that_only_the_log_has_is_unavailable_while_the_log_is_away(store, mine):
    order_id = place(store, mine.id)
    use(Away())
    for path in ("", "/events"):
        answer = mine.get(f"/api/orders/{order_id}{path}")
        refusal(answer, 503)
        assert int(answer["Retry-After"]) > 0


def test_the_events_of_an_order_are_listed_without_what_is_internal(store, mine, staff):
    order_id = place(store, mine.id)
    append(store, order_id, "order-cancelled", actor="staff:alice")
    answer = mine.get(f"/api/orders/{order_id}/events")
    created, cancelled = answer.json()["results"]
    stored = store.read_aggregate(order_id)
    assert created == {
        "event_id": str(stored[0].event_id),
        "type": "order-created",
        "version": 1,
        "position": 1,
        "recorded_at": created["recorded_at"],
        "actor": "api-client",
        "data": stored[0].payload,
    }
    assert datetime.fromisoformat(created["recorded_at"]) == stored[0].recorded_at
    assert cancelled["actor"] == "staff"
    assert answer.json()["next_version"] is None
    for secret in (b"f00d", b"key-1", b"alice", b"fingerprint"):
        assert secret not in answer.content
    shown = staff.get(f"/api/orders/{order_id}/events").json()["results"]
    assert [event["actor"] for event in shown] == [f"api-client:{mine.id}", "staff:alice"]


def test_events_come_in_pages(store, mine):
    order_id = place(store, mine.id)
    for _ in range(4):
        append(store, order_id, "order-scented")
    for _ in ("from the log", "from the query model"):
        versions, start = [], 1
        while start:
            page = mine.get(f"/api/orders/{order_id}/events?from_version={start}&limit=2").json()
            versions.append([event["version"] for event in page["results"]])
            start = page["next_version"]
        assert versions == [[1, 2], [3, 4], [5]]
        caught_up(store)
    assert mine.get(f"/api/orders/{order_id}/events?from_version=6").json()["results"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("from_version=0", "from_version"),
        ("from_version=x", "from_version"),
        ("hash=1", "hash"),
    ],
)
def test_a_bad_page_of_events_is_refused(store, mine, query, field):
    order_id = place(store, mine.id)
    refusal(mine.get(f"/api/orders/{order_id}/events?{query}"), 400, field)


@pytest.mark.parametrize(
    "data", ['{"a":"\\ud800"}', "[1]", '"x"', "null", "1" * 4000, "[" * 900 + "]" * 900]
)
def test_data_of_any_kind_is_shown(store, mine, data):
    order_id = place(store, mine.id)
    event = append(InMemoryEventStore(), order_id, "order-scented")
    new = {name: getattr(event, name) for name in NewEvent.__dataclass_fields__}
    store.append([NewEvent(**new | {"data": data})])
    shown = mine.get(f"/api/orders/{order_id}/events").json()["results"][1]["data"]
    assert shown in (data, json.loads(data))


PATHS = [
    "/api/orders",
    f"/api/orders/{uuid4()}",
    f"/api/orders/{uuid4()}/events",
    "/api/summaries/customers",
    "/api/summaries/restaurants",
]


@pytest.mark.parametrize("path", PATHS)
def test_nobody_in_particular_is_refused(store, path):
    refusal(Browser().get(path), 401)


@pytest.mark.parametrize("path", PATHS[3:])
def test_summaries_are_not_for_api_clients(store, mine, path):
    refusal(mine.get(path), 403)


@pytest.mark.parametrize("path", PATHS)
def test_a_nul_in_the_query_is_refused(store, mine, path):
    refusal(mine.get(f"{path}?customer_id=a%00b"), 400)


@pytest.mark.parametrize("path", PATHS)
def test_staff_without_the_permission_are_refused(store, path):
    refusal(staff_browser("view_orderrow").get(path), 403)
