"""Who asks the read side of the REST API in tests, and a query model to ask about."""

from typing import Any

from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient as Browser

from eventstore.client import EventStore, Unavailable
from eventstore.client.memory import InMemoryEventStore
from orders_site.ordering.models import ApiClient
from queries.models import Checkpoint
from queries.projector import SUBSCRIPTION, OrderProjector
from tests.integration.test_queries_projector import all_events, deliver


class Away(InMemoryEventStore):
    """A store that can't be reached."""

    def head(self, stream="ORDERS"):
        raise Unavailable

    def read_many(self, aggregates):
        raise Unavailable


def browser_of(name: str) -> Browser:
    """A client with a token; `id` is the API client's."""
    client, token = ApiClient.issue(name)
    browser = Browser()
    browser.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    browser.id = client.id
    return browser


def staff_browser(*codenames: str) -> Browser:
    """Logged-in staff with some permissions."""
    user = User.objects.create_user("alice", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    browser = Browser()
    browser.force_login(user)
    return browser


def caught_up(store: EventStore) -> None:
    """Give the query model everything that the log has."""
    deliver(OrderProjector(store), store, all_events(store))
    head = store.head()
    Checkpoint.objects.update_or_create(
        subscription=SUBSCRIPTION, defaults={"log_id": head.log_id, "position": head.position}
    )


def refusal(answer: Any, status: int, *fields: str) -> dict[str, Any]:
    """The problem details of a refusal, which names the fields."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"].startswith("application/problem+json")
    body = answer.json()
    assert set(fields) <= set(body.get("errors", {}))
    return body
