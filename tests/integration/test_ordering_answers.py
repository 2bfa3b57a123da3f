"""How the write side's answers are written: as DRF's renderer would, in the form asked for."""

import pytest
from rest_framework.renderers import JSONRenderer
from rest_framework.test import APIClient

from eventstore.client.connection import use
from eventstore.client.memory import InMemoryEventStore
from orders_site.ordering import schema
from orders_site.ordering.models import ApiClient

pytestmark = pytest.mark.django_db

BODY = schema.PLACE_EXAMPLE | {"customer_id": 'Zoë "Z" \\ \u2603'}


@pytest.fixture(autouse=True)
def store():
    memory = InMemoryEventStore()
    use(memory)
    yield memory
    use(None)


@pytest.fixture
def client():
    _, token = ApiClient.issue("shop")
    return APIClient(HTTP_AUTHORIZATION=f"Bearer {token}", HTTP_IDEMPOTENCY_KEY="order-17")


def place(client, **headers):
    answer = client.post("/api/orders", BODY, format="json", **headers)
    assert answer.status_code == 201
    assert answer["Content-Type"] == "application/json"
    assert answer["Content-Length"] == str(len(answer.content))
    return answer


def test_an_order_is_shown_byte_for_byte_as_drf_would_show_it(client):
    answer = place(client)
    assert answer.content == JSONRenderer().render(answer.json())
    assert answer["Allow"] == "GET, POST, HEAD, OPTIONS"


def test_who_asks_for_indented_json_gets_it(client):
    plain = place(client)
    indented = place(client, HTTP_ACCEPT="application/json; indent=4")
    assert indented.json() == plain.json()
    assert indented.content.startswith(b'{\n    "order_id"')


@pytest.mark.parametrize("accept", ["text/csv", "application/xml"])
def test_what_is_no_json_is_not_to_be_had_and_no_order_is_placed(client, store, accept):
    refused = client.post("/api/orders", BODY, format="json", HTTP_ACCEPT=accept)
    assert refused.status_code == 406
    assert store.head().position == 0


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 400),
        ("application/json; charset=utf-8", 400),
        ("application/json; charset=utf-16", 415),
        ("APPLICATION/JSON", 400),
        ("text/json", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
def test_a_body_is_taken_as_json_whatever_way_the_type_is_written(client, content_type, status):
    answer = client.post("/api/orders", b"{}", content_type=content_type)
    assert answer.status_code == status
