"""What Prometheus is told: of the system as a whole, and by each process of itself."""

import signal
from contextlib import closing
from io import StringIO
from urllib.request import urlopen

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from eventstore.client import VersionConflict
from eventstore.client.events import Event
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.metrics import metrics_served
from eventstore.client.remote import RemoteEventStore
from orders_site.embedded.ports import free_port
from orders_site.ordering.models import ParkedMessage
from queries.models import Checkpoint
from tests.console_rows import park
from tests.contract.new_events import new_event
from tests.integration.admin_users import DATABASES
from tests.integration.broker import Broker
from tests.integration.handlers import Failing, Ledger
from tests.integration.test_event_store_process import SERVING, run_server  # noqa: F401
from tests.integration.test_subscriber_commands import Subscribe, publish
from tests.together import eventually

pytestmark = pytest.mark.django_db(databases=DATABASES, transaction=True)
TOKEN = "a-token-of-16-characters-or-more"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


def asked(token: str = TOKEN) -> Samples:
    response = Client().get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200, response.content
    return samples(response.content.decode())


def served(port: int) -> Samples:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return samples(answer.read().decode())


@pytest.fixture
def token(settings) -> None:
    settings.METRICS_TOKEN = TOKEN


def test_without_a_token_in_the_settings_nobody_gets_metrics() -> None:
    for header in ({}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN}"}):
        response = Client().get("/metrics", headers=header)
        assert response.status_code == 404
        assert b"ORDERS_METRICS_TOKEN" in response.content


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", "Bearer \xe9"])
def test_who_does_not_show_the_token_is_refused(token, header: str) -> None:
    response = Client().get("/metrics", headers={"Authorization": header} if header else {})
    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_the_system_says_how_it_stands(token, world) -> None:
    world.place("sushi-kyoto")
    park(ParkedMessage, "order-1")
    Checkpoint.objects.create(
        subscription="orderquery-store", position=1, log_id=world.store.head().log_id
    )
    found = asked()
    for part in ("ordering", "payments", "restaurant", "queries", "log", "event_store"):
        assert of(found, "orders_part_up", part=part) == 1, part
    assert of(found, "orders_log_position") == world.store.head().position == 2
    assert of(found, "orders_subscription_position", subscription="orderquery-store") == 1
    assert of(found, "orders_subscription_behind_events", subscription="orderquery-store") == 1
    stuck = of(found, "orders_subscription_stuck_seconds", subscription="orderquery-store")
    assert stuck is not None
    assert 0 <= stuck < 60
    assert of(found, "orders_parked_messages", context="ordering") == 1
    assert of(found, "orders_parked_messages", context="payments") == 0
    assert of(found, "orders_tickets", state="open") == 1


def test_a_part_that_is_away_is_down_and_the_others_are_told(token, world, away) -> None:
    away()
    found = asked()
    assert of(found, "orders_part_up", part="event_store") == 0
    assert of(found, "orders_part_up", part="queries") == 1
    assert of(found, "orders_log_position") is None


def test_an_event_store_counts_calls_and_commits(run_server, nats_server) -> None:  # noqa: F811
    port = free_port()
    server = run_server("--metrics-port", str(port))
    server.wait_until(SERVING)
    with closing(RemoteEventStore(server.address)) as store:
        store.append([new_event("a")], 0)
        store.append([new_event("b")], 0)
        with pytest.raises(VersionConflict):
            store.append([new_event("a")], 0)
    found = served(port)
    assert of(found, "orders_grpc_calls_total", method="AppendEvents", code="OK") == 2
    assert of(found, "orders_grpc_calls_total", method="AppendEvents", code="ABORTED") == 1
    assert of(found, "orders_grpc_seconds_count", method="AppendEvents") == 3
    assert of(found, "orders_appended_events_total", stream="ORDERS") == 2
    assert of(found, "orders_appended_position", stream="ORDERS") == 2
    assert eventually(lambda: of(served(port), "orders_published_position", stream="ORDERS") == 2)
    assert of(served(port), "orders_unpublished_events", stream="ORDERS") == 0
    assert server.end(signal.SIGTERM) == 0


def test_a_subscriber_counts_what_it_applied_and_shows_an_outage(nats_server) -> None:
    waiting: list[float | None] = []

    def once_away(event: Event) -> bool:
        waiting.append(told("waiting"))
        return len(waiting) == 1

    command, broker = Subscribe(stdout=StringIO()), Broker(nats_server)
    command.log = InMemoryEventStore()
    command.ledger = Ledger(Failing(OperationalError("away"), once_away))
    for name in ("a", "b", "c"):
        command.log.append([new_event(name)])
    publish(command.log, broker)
    before = told("events_total") or 0
    call_command(command, once=True)
    assert told("events_total") == before + 3
    assert told("pending_events") == 0
    assert waiting[:2] == [0, 1]
    assert told("waiting") == 0


def told(name: str) -> float | None:
    return REGISTRY.get_sample_value(f"orders_subscription_{name}", {"subscription": "tests"})


def test_a_port_that_is_taken_is_said_in_a_line() -> None:
    with metrics_served(port := free_port()):
        assert ("process_cpu_seconds_total", frozenset()) in served(port)
        with pytest.raises(CommandError, match=f"cannot serve metrics on 127.0.0.1:{port}"):
            with metrics_served(port):
                pass
    with metrics_served(port):
        pass
