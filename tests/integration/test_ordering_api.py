"""Placing and cancelling over HTTP, on an in-memory log and real rows of API clients and staff."""

import json
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import path
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from rest_framework.test import APIClient

from eventstore.client import NewEvent, Unavailable
from eventstore.client.connection import use
from eventstore.client.memory import InMemoryEventStore
from orders_site.ordering import bodies, domain, schema
from orders_site.ordering.api import CancelOrder, PlaceOrder
from orders_site.ordering.details import MAX_ITEMS
from orders_site.ordering.models import ApiClient

urlpatterns = [
    path("api/orders", PlaceOrder.as_view()),
    path("api/orders/<uuid:order_id>/cancel", CancelOrder.as_view()),
]
pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

BODY = schema.PLACE_EXAMPLE


@pytest.fixture
def client(db):
    return client_of("shop")


def client_of(name):
    _, token = ApiClient.issue(name)
    return APIClient(HTTP_AUTHORIZATION=f"Bearer {token}")


def staff(*permissions):
    user = User.objects.create_user("nina", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = APIClient()
    client.force_login(user)
    return client


def place(client, body=BODY, **headers):
    return client.post("/api/orders", body, format="json", **headers)


def cancel(client, order_id, **options):
    return client.post(f"/api/orders/{order_id}/cancel", **options)


def happen(store, order_id, event_type, data="{}"):
    event = NewEvent(
        event_id=uuid4(),
        event_type=event_type,
        aggregate_id=order_id,
        aggregate_type="order",
        data=data,
    )
    store.append([event])


def assert_problem(response, status, slug):
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["type"] == f"/problems/{slug}"
    assert problem["status"] == status
    return problem


def test_an_order_is_placed_and_shown(client, memory_store):
    response = place(client)
    assert response.status_code == 201
    order = response.json()
    assert response["Location"] == f"/api/orders/{order['order_id']}"
    (event,) = memory_store.read_stream()
    assert order == {
        **BODY,
        "order_id": event.aggregate_id,
        "status": "pending",
        "payment_status": "none",
        "amount": "25.00",
        "currency": "EUR",
        "created_on": event.payload["created_on"],
        "version": 1,
        "reason": "",
    }


def test_a_repeated_key_gives_the_very_same_answer(client, memory_store):
    first = place(client, HTTP_IDEMPOTENCY_KEY="order-17")
    happen(
        memory_store,
        first.json()["order_id"],
        "order-payment-debited",
        '{"amount": "25.00", "currency": "EUR"}',
    )
    again = place(client, HTTP_IDEMPOTENCY_KEY="order-17")
    assert (again.status_code, again.content) == (201, first.content)
    assert again["Location"] == first["Location"]


def test_a_key_used_for_another_order_is_refused(client, memory_store):
    place(client, HTTP_IDEMPOTENCY_KEY="order-17")
    other = place(client, BODY | {"customer_id": "customer-2"}, HTTP_IDEMPOTENCY_KEY="order-17")
    assert_problem(other, 422, "idempotency-key-reused")
    assert len(list(memory_store.read_stream())) == 1


@pytest.mark.parametrize(
    "key", ["", " ", "a b", "k" * 256, "a,b", "k, k", "schlüssel", "a\x00b", "a\tb", "\x7f"]
)
def test_an_unusable_key_is_refused(client, memory_store, key):
    problem = assert_problem(place(client, HTTP_IDEMPOTENCY_KEY=key), 400, "validation-failed")
    ((field, (words,)),) = problem["errors"].items()
    assert field == "Idempotency-Key"
    assert ("comma" in words) == ("," in key)
    assert list(memory_store.read_stream()) == []


def test_the_longest_key_of_every_visible_character_is_fine(client, memory_store):
    visible = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != ",")
    key = (visible * 3)[:255]
    assert place(client, HTTP_IDEMPOTENCY_KEY=key).status_code == 201
    (event,) = memory_store.read_stream()
    assert event.context["idempotency_key"] == key


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"1",
        b'"x"',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"{}{}",
        b'{"customer_id": NaN}',
        b'{"customer_id": "a", "customer_id": "b"}',
        b'{"customer_id": "\\u0000"}',
        b'{"\\ud800": 1}',
        b"[" * 990 + b"]" * 990,
        b"[" * 30_000,
        b'{"order_items": [{"unit_price": 1e400}]}',
        b'{"order_items": [{"unit_price": 1e999999999}]}',
        b'{"order_items": [{"quantity": ' + b"9" * 5000 + b"}]}",
    ],
)
def test_a_malformed_body_is_refused_in_words(client, memory_store, raw):
    response = client.post("/api/orders", raw, content_type="application/json")
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    assert list(memory_store.read_stream()) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"customer_id": ""}, "customer_id"),
        ({"restaurant_id": "x" * 65}, "restaurant_id"),
        ({"order_items": []}, "order_items"),
        ({"order_items": [BODY["order_items"][0]] * (MAX_ITEMS + 1)}, "order_items"),
        ({"order_items": [BODY["order_items"][0] | {"quantity": 2**31}]}, "order_items"),
        ({"order_items": [BODY["order_items"][0] | {"unit_price": "-1"}]}, "order_items"),
        ({"order_items": [BODY["order_items"][0] | {"unit_price": "0"}]}, "order_items"),
        ({"currency": "XXX"}, "currency"),
        ({"status": "paid"}, "status"),
        ({"id": "1"}, "id"),
    ],
)
def test_an_order_against_the_rules_is_refused_by_field(client, memory_store, changes, field):
    problem = assert_problem(place(client, BODY | changes), 400, "validation-failed")
    assert list(problem["errors"]) == [field]
    assert list(memory_store.read_stream()) == []


def test_who_is_unknown_places_and_cancels_nothing(db, memory_store):
    anonymous = APIClient()
    assert place(anonymous).status_code == 401
    assert cancel(anonymous, uuid4()).status_code == 401
    assert place(APIClient(HTTP_AUTHORIZATION="Bearer ord_" + "x" * 43)).status_code == 401


def test_staff_place_no_orders(memory_store):
    assert place(staff("view_all_orders", "cancel_order")).status_code == 403


def test_the_client_cancels_its_order_and_a_second_time_gets_the_same(client, memory_store):
    order_id = place(client).json()["order_id"]
    first = cancel(client, order_id, data={"reason": "ordered twice"}, format="json")
    assert first.status_code == 200
    assert first.json() | {"status": "cancelled", "version": 2, "reason": "ordered twice"} == (
        first.json()
    )
    again = cancel(client, order_id)
    assert (again.status_code, again.content) == (200, first.content)


def test_a_cancellation_needs_no_body(client, memory_store):
    order_id = place(client).json()["order_id"]
    assert cancel(client, order_id).json()["reason"] == ""


def test_a_strange_reason_is_refused(client, memory_store):
    order_id = place(client).json()["order_id"]
    response = cancel(client, order_id, data={"reason": 1}, format="json")
    assert_problem(response, 400, "validation-failed")


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("number", ["1E", "0E", "1E-"])
def test_an_exponent_beyond_those_of_decimals_is_refused(client, memory_store, sign, number):
    price = f"{sign}{number}{'9' * 20}"
    text = json.dumps(BODY).replace('"12.50"', price)
    assert price in text
    response = client.post("/api/orders", text, content_type="application/json")
    assert_problem(response, 400, "parse-error")


@pytest.mark.parametrize(
    ("encoding", "status"),
    [("gzip", 415), ("identity, br", 415), ("identity", 201), ("Identity ", 201), ("", 201)],
)
def test_a_body_is_not_compressed(client, memory_store, encoding, status):
    response = place(client, HTTP_CONTENT_ENCODING=encoding)
    assert response.status_code == status
    if status == 415:
        assert_problem(response, 415, "unsupported-media-type")


def test_a_title_is_the_same_on_every_python(client, memory_store):
    response = place(client, BODY | {"customer_id": "x" * 70_000})
    assert assert_problem(response, 413, "body-too-large")["title"] == "Content Too Large"


def test_an_approved_order_is_not_cancelled_and_the_status_is_named(client, memory_store):
    order_id = place(client).json()["order_id"]
    debited = '{"amount": "25.00", "currency": "EUR"}'
    happen(memory_store, order_id, "order-payment-debited", debited)
    happen(memory_store, order_id, "order-approved")
    problem = assert_problem(cancel(client, order_id), 409, "cannot-cancel")
    assert "approved" in problem["detail"]


def test_an_unknown_order_and_another_clients_look_alike(client, memory_store):
    order_id = place(client).json()["order_id"]
    stranger = client_of("stranger")
    theirs, none = cancel(stranger, order_id), cancel(stranger, uuid4())
    assert_problem(theirs, 404, "no-such-order")
    assert theirs.content == none.content
    assert len(list(memory_store.read_stream())) == 1


@pytest.mark.parametrize(
    ("permissions", "status"),
    [
        ([], 404),
        (["cancel_order"], 404),
        (["view_all_orders"], 403),
        (["view_all_orders", "cancel_order"], 200),
    ],
)
def test_staff_cancel_with_both_permissions(client, memory_store, permissions, status):
    order_id = place(client).json()["order_id"]
    assert cancel(staff(*permissions), order_id).status_code == status
    assert len(list(memory_store.read_stream())) == (2 if status == 200 else 1)


class Away(InMemoryEventStore):
    def append_batch(self, appends):
        raise Unavailable

    def read_aggregate(self, aggregate_id, from_version=1):
        raise Unavailable


def test_while_the_event_store_is_away_clients_are_told_when_to_come_back(client):
    use(Away())
    try:
        response = place(client)
    finally:
        use(None)
    assert_problem(response, 503, "unavailable")
    assert int(response["Retry-After"]) > 0


# -- OpenAPI


@pytest.fixture(scope="module")
def openapi():
    return SchemaGenerator(patterns=urlpatterns).get_schema(request=None, public=True)


def test_the_openapi_description_is_valid_and_has_both_operations(openapi):
    validate_schema(json.loads(json.dumps(openapi, default=str)))
    placing = openapi["paths"]["/api/orders"]["post"]
    cancelling = openapi["paths"]["/api/orders/{order_id}/cancel"]["post"]
    assert {"201", "400", "401", "403", "411", "413", "415", "422", "503"} == set(
        placing["responses"]
    )
    assert {"200", "404", "409"} <= set(cancelling["responses"])
    assert "Location" in placing["responses"]["201"]["headers"]
    assert [p["name"] for p in placing["parameters"]] == ["Idempotency-Key"]
    assert set(placing["responses"]["422"]["content"]) == {"application/problem+json"}


def test_the_description_has_the_fields_and_bounds_that_the_parser_has():
    assert set(schema.PlaceOrderBody().fields) == bodies.ORDER_FIELDS
    assert set(schema.ItemBody().fields) == bodies.ITEM_FIELDS
    assert set(schema.CancelOrderBody().fields) == bodies.CANCEL_FIELDS


def test_the_examples_are_what_the_api_takes_and_gives(client, memory_store):
    details = bodies.order_details(schema.PLACE_EXAMPLE, default_currency="EUR")
    assert domain.order_problems(details) == {}
    answer = place(client).json()
    assert answer.keys() == schema.ORDER_EXAMPLE.keys() == schema.PlacedOrder().fields.keys()
    own = ("order_id", "created_on")
    assert {k: v for k, v in answer.items() if k not in own} == {
        k: v for k, v in schema.ORDER_EXAMPLE.items() if k not in own
    }
