"""Tokens are looked up once in a while, revoked in seconds, and not guessed without end."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from eventstore.client.connection import use
from eventstore.client.memory import InMemoryEventStore
from orders_site import authentication
from orders_site.authentication import RecentClients
from orders_site.guessing import login_failures
from orders_site.ordering import schema
from orders_site.ordering.models import ApiClient, token_hash

pytestmark = pytest.mark.django_db(databases=["default", "queries"])


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clean():
    use(InMemoryEventStore())
    login_failures.clear()
    yield
    use(None)
    login_failures.clear()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shop():
    client, token = ApiClient.issue("shop")
    return client, token_hash(token)


def place(token: str, **headers):
    client = Client(headers={"authorization": f"Bearer {token}", **headers})
    return client.post("/api/orders", schema.PLACE_EXAMPLE, content_type="application/json")


def test_a_token_is_looked_up_once_in_a_while(shop, clock, django_assert_num_queries) -> None:
    recent = RecentClients(3, clock)
    with django_assert_num_queries(1):
        assert [recent.find(shop[1]) for _ in range(5)] == [shop[0]] * 5
    clock.now += 3
    with django_assert_num_queries(1):
        assert recent.find(shop[1]) == shop[0]


def test_a_revoked_token_is_refused_within_seconds(shop, clock) -> None:
    recent = RecentClients(3, clock)
    recent.find(shop[1])
    ApiClient.objects.update(is_active=False)
    clock.now += 3
    assert recent.find(shop[1]) is None
    ApiClient.objects.update(is_active=True)
    assert recent.find(shop[1]) == shop[0], "that it was nobody's is not remembered"


def test_nothing_is_remembered_where_the_setting_is_zero(shop, clock) -> None:
    recent = RecentClients(0, clock)
    recent.find(shop[1])
    ApiClient.objects.update(is_active=False)
    assert recent.find(shop[1]) is None


def test_clients_without_end_take_no_memory_without_end(clock, monkeypatch) -> None:
    monkeypatch.setattr(authentication, "MOST_REMEMBERED", 2)
    recent = RecentClients(3, clock)
    for number in range(5):
        _, token = ApiClient.issue(f"shop {number}")
        assert recent.find(token_hash(token)) is not None
    assert len(recent._known) <= 2


def test_no_plain_token_is_kept(clock) -> None:
    _, token = ApiClient.issue("shop")
    recent = RecentClients(3, clock)
    recent.find(token_hash(token))
    assert token not in repr(recent.__dict__)


def test_a_call_with_a_known_token_costs_no_query(django_assert_num_queries) -> None:
    _, token = ApiClient.issue("shop")
    assert place(token).status_code == 201
    with django_assert_num_queries(0):
        assert place(token).status_code == 201


def test_a_client_is_not_kept_out_by_those_who_try_tokens() -> None:
    _, token = ApiClient.issue("shop")
    assert {place("ord_" + "x" * 43).status_code for _ in range(200)} == {401}
    assert place(token).status_code == 201


def test_a_request_with_a_token_has_no_session_and_all_security_headers() -> None:
    _, token = ApiClient.issue("shop")
    answer = place(token, cookie="sessionid=someone")
    assert answer.status_code == 201
    assert not hasattr(answer.wsgi_request, "session")
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert not answer.cookies


def test_a_session_beside_a_wrong_token_counts_for_nothing(client) -> None:
    client.force_login(User.objects.create_superuser("nina", password="p"))
    assert client.get("/api/orders").status_code == 200
    wrong = client.get("/api/orders", headers={"authorization": "Bearer ord_" + "x" * 43})
    assert wrong.status_code == 401


@pytest.mark.parametrize(
    ("accept", "status"), [("*/*", 201), ("application/json", 201), ("text/csv", 406)]
)
def test_what_a_client_accepts_is_still_asked(accept, status) -> None:
    _, token = ApiClient.issue("shop")
    assert place(token, accept=accept).status_code == status


def log_in(password: str, address: str = "10.0.0.1"):
    return Client(REMOTE_ADDR=address).post(
        reverse("admin:login"), {"username": "nina", "password": password}
    )


def test_the_admin_lets_nobody_guess_without_end(settings) -> None:
    User.objects.create_superuser("nina", password="right")
    for _ in range(settings.LOGIN_FAILURES):
        assert "Too many" not in log_in("wrong").content.decode()
    refused = log_in("right")
    assert refused.status_code == 200
    assert "Too many failed logins" in refused.content.decode()
    assert log_in("right", "10.0.0.2").status_code == 302
    login_failures.clear()
    assert log_in("right").status_code == 302
