"""The log loses its end, as in a failover to a replica that lagged, and gets other events there."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db.transaction import atomic
from prometheus_client import REGISTRY

from eventstore.client import EventStore
from eventstore.publisher import Publisher
from eventstore.store import SqlEventStore
from tests.contract import stores
from tests.contract.new_events import new_event
from tests.integration import tampering
from tests.integration.broker import STREAM, Broker
from tests.integration.messaging import logged_ids, said
from tests.together import eventually

pytest_plugins = ["tests.integration.messaging"]
pytestmark = pytest.mark.django_db(databases=["eventstore"], transaction=True)

LENGTH, LOST = 20, 5


@pytest.fixture
def store() -> Iterator[SqlEventStore]:
    with stores.sql() as store:
        fill(store, LENGTH)
        yield store


def fill(store: EventStore, count: int) -> None:
    for number in range(count):
        store.append([new_event(f"order-{number % 5}")])


def lose_the_end(store: EventStore) -> None:
    with atomic(using="eventstore"):
        tampering.cut_tail(store, LENGTH - LOST)


def times_counted() -> float:
    return REGISTRY.get_sample_value("orders_log_went_back_total", {"stream": STREAM}) or 0.0


@contextmanager
def publishing(store: SqlEventStore, broker: Broker) -> Iterator[Publisher]:
    publisher = Publisher(store, streams=[STREAM], nats_url=broker.url, refused_seconds=60)
    store.commits.hooks.append(publisher.offer)
    publisher.start()
    try:
        eventually(lambda: broker.last() == LENGTH)
        eventually(lambda: "up to the head" in publisher.status()[0].state)
        yield publisher
    finally:
        publisher.stop()


@pytest.mark.parametrize("since", [0, 1, LOST, LOST + 7])
@pytest.mark.parametrize("by", ["this server", "another server", "both"])
@pytest.mark.parametrize("last", ["published", "compared"])
def test_its_publisher_stops_and_says_so_also_where_the_end_is_overtaken(
    store: SqlEventStore, broker: Broker, since: int, by: str, last: str
) -> None:
    """Its last event before is one that it published, or one that it found published."""
    other = SqlEventStore()
    if last == "compared":
        with publishing(SqlEventStore(), broker):
            pass
    with publishing(store, broker) as publisher:
        if last == "published":
            fill(store, 1)
            eventually(lambda: broker.last() == LENGTH + 1)
        ids = broker.ids()
        lose_the_end(store)
        fill(store if by == "this server" else other, since)
        if by == "both":
            fill(store, 2)
        eventually(lambda: "refused" in publisher.status()[0].state, 4)
        assert broker.ids() == ids


def test_the_committer_says_where_the_log_was_and_where_it_is(
    store: SqlEventStore, caplog: pytest.LogCaptureFixture
) -> None:
    before = times_counted()
    lose_the_end(store)
    fill(store, 3)
    (line,) = said(caplog, logging.ERROR, "has lost events that were committed")
    assert f"its head was at {LENGTH}, then it was found at {LENGTH - LOST}." in line
    assert times_counted() == before + 1


def test_the_committer_sees_other_events_at_the_very_position_too(
    store: SqlEventStore, caplog: pytest.LogCaptureFixture
) -> None:
    lose_the_end(store)
    fill(SqlEventStore(), LOST)
    fill(store, 3)
    (line,) = said(caplog, logging.ERROR, "has lost events that were committed")
    assert f"found at {LENGTH} with another event there." in line


def test_other_servers_and_another_log_are_no_loss(
    store: SqlEventStore, caplog: pytest.LogCaptureFixture
) -> None:
    fill(SqlEventStore(), 3)
    fill(store, 1)
    tampering.run_sql("UPDATE eventstore_stream SET log_id = gen_random_uuid()")
    fill(store, 1)
    lose_the_end(store)
    tampering.run_sql("UPDATE eventstore_stream SET log_id = gen_random_uuid()")
    fill(store, 1)
    assert not said(caplog, logging.ERROR, "has lost events")
    assert logged_ids(store)
