"""What is answered before any view: probes, and bodies whose length nobody tells."""

import pytest
from django.test import Client

from eventstore.client import EventIdConflict
from eventstore.client.connection import use
from eventstore.client.errors import ResultTooLarge, TooManyEvents, UnknownStream
from eventstore.client.memory import InMemoryEventStore
from orders_site.errors import problem
from tests.integration.queries_browsers import Away

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def store():
    use(InMemoryEventStore())
    yield
    use(None)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_probe_by_ip_address_and_without_tls_is_answered(settings, path):
    settings.ALLOWED_HOSTS = ["orders.example"]
    settings.SECURE_SSL_REDIRECT = True
    probe = Client(headers={"host": "10.1.2.3:8000"})
    assert probe.get(path).status_code == 200
    assert probe.get("/api/orders").status_code in (301, 400)


def test_readiness_names_the_part_that_is_away():
    use(Away())
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"] == {"database": True, "event_store": False}


@pytest.mark.parametrize("path", ["/api/orders", "/api/orders/x/cancel"])
def test_a_body_in_chunks_is_refused_and_not_taken_for_an_empty_one(path):
    answer = Client().post(
        path,
        b"",
        content_type="application/json",
        headers={"transfer-encoding": "chunked"},
        CONTENT_LENGTH="",
    )
    assert answer.status_code == 411
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/length-required"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (EventIdConflict(), 409),
        (ResultTooLarge(), 409),
        (TooManyEvents(), 409),
        (UnknownStream(), 503),
    ],
)
def test_every_refusal_of_the_event_store_has_an_answer(error, status):
    answer = problem(error, {})
    assert answer.status_code == status
    assert ("Retry-After" in answer.headers) == (status == 503)


@pytest.mark.parametrize("path", ["/api/orders", "/api/summaries/customers"])
def test_very_many_parameters_are_refused(path, admin_client):
    answer = admin_client.get(f"{path}?{'a=1&' * 3_000}")
    assert answer.status_code == 400
    assert answer.json()["type"] == "/problems/bad-request"


@pytest.mark.parametrize("method", ["OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "FOO"])
@pytest.mark.parametrize("path", ["/api/docs", "/api/schema", "/api/orders", "/api/orders/x"])
def test_no_method_is_too_strange_for_an_answer(path, method):
    answer = Client(raise_request_exception=False).generic(method, path)
    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert answer["Content-Type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code


def test_a_page_that_is_wanted_in_another_form_is_refused_like_anything_else():
    answer = Client().get("/api/docs", headers={"accept": "application/xml"})
    assert answer.status_code == 406
    assert answer.json()["status"] == 406
