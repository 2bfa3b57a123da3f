"""What the server says of its database and of its own work."""

import time
from collections.abc import Iterator

import psycopg
import pytest
from django.db import connections

from eventstore.models import StreamHead
from eventstore.watching import Activity, DatabaseWatch
from tests.contract import stores
from tests.contract.new_events import new_event
from tests.together import eventually

pytestmark = pytest.mark.django_db(databases=["eventstore"], transaction=True)


@pytest.fixture
def watch(monkeypatch) -> Iterator[DatabaseWatch]:
    monkeypatch.setattr("eventstore.watching.PROBE_SECONDS", 0.02)
    monkeypatch.setattr("eventstore.watching.SILENCE_SECONDS", 0.3)
    with stores.sql() as store:
        watch = DatabaseWatch(store, ["ORDERS", "NEW"])
        yield watch
        watch.stop(10)


def test_the_streams_are_created_when_the_database_answers(watch):
    assert not watch.answers
    watch.start()
    eventually(lambda: watch.answers)

    assert StreamHead.objects.filter(name="NEW", position=0).exists()


def test_a_database_that_stands_still_is_away_until_it_goes_on(watch):
    watch.start()
    eventually(lambda: watch.answers)
    parameters = connections["eventstore"].get_connection_params()
    with psycopg.connect(
        **{key: parameters[key] for key in ("dbname", "user", "host", "port")}
    ) as session:
        session.execute("LOCK TABLE eventstore_stream IN ACCESS EXCLUSIVE MODE")
        eventually(lambda: not watch.answers)

        session.rollback()
        eventually(lambda: watch.answers)


def test_activity_is_told_once_and_only_when_there_was_some():
    activity = Activity(every_seconds=10)
    with stores.sql() as store:
        store.commits.hooks.append(activity.committed)
        now = time.monotonic()
        assert activity.lines(now + 11) == []

        store.append([new_event("a"), new_event("a")])
        store.append([new_event("b")])
        assert activity.lines(now + 12) == []
        assert activity.lines(now + 31) == ["ORDERS at 3: 3 events in 2 commits, 0.1 events/s"]
        assert activity.lines(now + 42) == []


def test_a_store_without_its_streams_is_not_well(watch):
    watch.start()
    eventually(lambda: watch.answers)
    StreamHead.objects.all().delete()

    eventually(lambda: not watch.answers)
    assert not StreamHead.objects.exists()
