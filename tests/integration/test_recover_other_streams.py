"""Recovering a stream that no context follows leaves everybody else's rows alone."""

from io import StringIO

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command

from eventstore.client import Append, Appended
from eventstore.client.port import EventStore
from orders_site import log_recovery
from orders_site.ordering.models import OrderSaga
from restaurant.models import Ticket
from tests.contract.new_events import new_event
from tests.integration import tampering
from tests.integration.whole_system import CHECKPOINTS, WholeSystem

pytest_plugins = ["tests.integration.whole_system", "tests.integration.messaging"]
pytestmark = [
    pytest.mark.django_db(databases=list(django_settings.DATABASES), transaction=True),
    pytest.mark.usefixtures("impatient"),
]
OTHER = "SHOP"


@pytest.fixture(autouse=True)
def around(settings, tmp_path, monkeypatch) -> None:
    """Reports and checkpoints have a folder of their own."""
    settings.DATA_DIR = tmp_path
    settings.CHECKPOINT_DIR = str(tmp_path / "checkpoints")
    settings.NATS_PUBLISHER_URL = django_settings.NATS_PUBLISHER_URL
    monkeypatch.setattr(log_recovery, "ANSWER_SECONDS", 0.3)


def recover(*arguments: str) -> str:
    out = StringIO()
    call_command("recover_log", "--yes", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def sell(store: EventStore, number: int) -> None:
    """Append to the other stream."""
    (outcome,) = store.append_batch([Append(events=[new_event(f"sale-{number}", stream=OTHER)])])
    assert isinstance(outcome, Appended), outcome


def rows() -> list[tuple[object, ...]]:
    """Everything that says how far the contexts have followed the orders."""
    return [
        *OrderSaga.objects.order_by("pk").values_list("pk", "version", "log_id"),
        *Ticket.objects.order_by("pk").values_list("pk", "version", "state"),
        *(
            row
            for model in CHECKPOINTS.values()
            for row in model.objects.values_list("pk", "log_id", "position")
        ),
    ]


@pytest.fixture
def followed(system: WholeSystem) -> WholeSystem:
    """Orders that everybody has followed, and fewer events on the other stream."""
    with system.running():
        system.place("one")
        system.place("two")
        system.settled()
    system.store.create_stream(OTHER)
    sell(system.store, 1)
    return system


def test_rows_that_follow_the_orders_are_not_measured_by_another_stream(
    followed: WholeSystem,
) -> None:
    before = rows()
    assert Ticket.objects.count() == OrderSaga.objects.count() == 2
    assert "no row is reset: all contexts follow ORDERS" in recover("--stream", OTHER, "--rows")
    assert rows() == before


def test_an_unfinished_recovery_of_the_orders_is_no_matter_of_another_stream(
    followed: WholeSystem,
) -> None:
    tampering.run_sql(
        "UPDATE eventstore_stream SET log_id = gen_random_uuid() WHERE name = %s", "ORDERS"
    )
    recover("--stream", OTHER, "--rows")
