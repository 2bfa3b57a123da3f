"""The SQL store against a database that aborts, vanishes, stands still or refuses."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, OperationalError, connections
from psycopg import IsolationLevel, errors

from eventstore import statements
from eventstore.client import (
    Append,
    Appended,
    EventIdConflict,
    Unavailable,
    VersionConflict,
)
from eventstore.models import StoredEvent, StreamHead
from eventstore.publishing import facts
from eventstore.store import SqlEventStore
from tests.contract import stores
from tests.contract.new_events import new_event, new_events
from tests.contract.test_event_store import assert_gapless
from tests.together import eventually, together

pytestmark = pytest.mark.django_db(databases=["eventstore"], transaction=True)
STATEMENTS = 6  # of an append: lock the head, ids, tips, insert, advance the head; then COMMIT


@pytest.fixture
def store() -> Iterator[SqlEventStore]:
    with stores.sql() as store:
        yield store


@pytest.fixture
def other_session(store) -> Iterator[psycopg.Connection]:
    parameters = connections["eventstore"].get_connection_params()
    with psycopg.connect(
        **{key: parameters[key] for key in ("dbname", "user", "host", "port")}
    ) as session:
        yield session
        session.rollback()


@contextmanager
def failing_at(statement: int, error: type[psycopg.Error], times: int = 1) -> Iterator[list[str]]:
    """The n-th statement of each transaction fails, until it did so often enough.

    With STATEMENTS as its number it is COMMIT that fails, before it reaches the database.
    """
    connection = connections["eventstore"]
    failed: list[str] = []
    seen = 0

    def execute(run: Callable, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal seen
        seen = 1 if "FOR UPDATE" in sql else seen + 1
        if seen == statement and len(failed) < times:
            failed.append(sql)
            raise OperationalError("injected") from error("injected")
        return run(sql, params, many, context)

    with (
        connection.execute_wrapper(execute),
        failing_commits(
            error if statement == STATEMENTS else None, failed, times=times, take_effect=False
        ),
    ):
        yield failed


@contextmanager
def failing_commits(
    error: type[psycopg.Error] | None, failed: list[str], *, times: int, take_effect: bool
) -> Iterator[None]:
    """COMMIT fails, before or after it took effect in the database."""
    commit = psycopg.Connection.commit

    def failing(self: psycopg.Connection) -> None:
        if error is not None and len(failed) < times:
            failed.append("COMMIT")
            if take_effect:
                commit(self)
            raise error("injected")
        commit(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Connection, "commit", failing)
        yield


# -- The table


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE eventstore_event SET data = '{}'",
        "UPDATE eventstore_event SET hash = ''",
        "DELETE FROM eventstore_event",
    ],
)
def test_an_event_is_never_changed_or_deleted(store, statement):
    store.append([new_event("a")])

    with pytest.raises(DatabaseError, match="never changed"):
        with connections["eventstore"].cursor() as cursor:
            cursor.execute(statement)
    assert_gapless(store, 1)


def test_the_orm_cannot_change_or_delete_an_event_either(store):
    store.append([new_event("a")])
    event = StoredEvent.objects.get()

    event.data = "{}"
    with pytest.raises(DatabaseError, match="never changed"):
        event.save()
    with pytest.raises(DatabaseError, match="never changed"):
        StoredEvent.objects.all().delete()
    assert_gapless(store, 1)


def test_a_stream_is_created_once(store):
    head = store.create_stream("THIRD")
    store.append([new_event("a", stream="THIRD")])

    assert store.create_stream("THIRD").log_id == head.log_id
    assert store.create_stream("THIRD").position == 1
    assert StreamHead.objects.filter(name="THIRD").count() == 1


@pytest.mark.parametrize(
    "statement",
    [
        *(statements._UNDER_ID, statements._KNOWN, statements._STORED),
        *(statements._TIPS, statements._OF_STREAM),
        *(statements._OF_AGGREGATES, statements._APPEND_AT_HEAD, statements._APPEND_ONE_AT_HEAD),
        facts._OF_STREAM,
    ],
)
def test_no_statement_scans_the_log_whenever_it_was_planned(store, statement):
    """Prepared while the log is empty, a plan may serve until there are millions of events."""
    numbers = count(1)
    numbered = re.sub("%[sb]", lambda _: f"${next(numbers)}", statement)
    with connections["eventstore"].cursor() as cursor:
        cursor.execute(f"EXPLAIN (GENERIC_PLAN) {numbered}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "on eventstore_event" in plan
    assert "Seq Scan on eventstore_event" not in plan


# -- Ids that are stored already


def test_of_an_event_whose_id_comes_again_no_other_data_is_read(store):
    large = [new_event(str(n), data='"' + "x" * 200_000 + '"') for n in range(5)]
    store.append_batch([Append(events=[event]) for event in large])
    again = [replace(event, data="{}") for event in large]

    outcomes = store.append_batch([Append(events=[event]) for event in again])
    assert [type(outcome) for outcome in outcomes] == [EventIdConflict] * 5
    with connections["eventstore"].cursor() as cursor:
        found = statements.stored_under(cursor, again)
        assert sum(len(event.data) for event in found.values()) == 5


@pytest.mark.parametrize("data", ["{}", '{"é": 1}', '{"a": 2}', ""])
def test_an_id_that_comes_twice_in_a_batch_is_compared_each_time(store, data):
    event = new_event("a", data=data)
    first = store.append([event])
    other = replace(event, data='{"amount": "26.00"}')

    for batch in ([event, other], [other, event]):
        outcomes = store.append_batch([Append(events=[each]) for each in batch])
        expected = [Appended if each is event else EventIdConflict for each in batch]
        assert [type(outcome) for outcome in outcomes] == expected
        assert outcomes[batch.index(event)] == first


# -- Aborted transactions


@pytest.mark.parametrize("error", [errors.SerializationFailure, errors.DeadlockDetected])
@pytest.mark.parametrize("statement", range(1, STATEMENTS + 1))
def test_an_aborted_append_is_run_again_whole(store, statement, error):
    with failing_at(statement, error, times=3) as failed:
        assert store.append(new_events(2, "a"), expected_version=0).positions == (1, 2)

    assert len(failed) == 3
    assert_gapless(store, 2)


def test_an_append_that_is_aborted_for_ever_is_given_up(store):
    with failing_at(4, errors.SerializationFailure, times=1000) as failed:
        with pytest.raises(Unavailable):
            store.append([new_event("a")])

    assert 5 <= len(failed) <= 20
    assert store.head().position == 0


def test_an_aborted_read_is_run_again(store):
    store.append([new_event("a")])

    with failing_at(1, errors.SerializationFailure) as failed:
        assert [event.version for event in store.read_aggregate("a")] == [1]
    assert len(failed) == 1


# -- A COMMIT that nobody heard the end of

UNKNOWN = [
    errors.OperationalError,
    errors.ConnectionFailure,
    errors.StatementCompletionUnknown,
    errors.AdminShutdown,
]


@pytest.mark.parametrize("error", UNKNOWN)
@pytest.mark.parametrize("took_effect", [True, False])
def test_an_append_whose_commit_is_in_doubt_is_stored_once(store, error, took_effect):
    store.append([new_event("a")])
    append = Append(events=new_events(2, "a"), expected_version=1)
    failed: list[str] = []

    with failing_commits(error, failed, times=1, take_effect=took_effect):
        (outcome,) = SqlEventStore().append_batch([append])

    assert failed == ["COMMIT"]
    assert outcome == Appended(versions=(2, 3), positions=(2, 3))
    assert_gapless(store, 3)


def test_a_batch_whose_commit_is_in_doubt_keeps_its_outcomes(store):
    appends = [
        Append(events=[new_event("a")], expected_version=0),
        Append(events=[new_event("b")], expected_version=5),
        Append(events=[new_event("c")], expected_version=0),
    ]
    with failing_commits(errors.OperationalError, [], times=1, take_effect=True):
        outcomes = store.append_batch(appends)

    assert [outcome.positions for outcome in (outcomes[0], outcomes[2])] == [(1,), (2,)]
    assert isinstance(outcomes[1], VersionConflict)
    assert_gapless(store, 2)


def test_a_commit_that_stays_in_doubt_is_given_up(store):
    failed: list[str] = []

    with failing_commits(errors.OperationalError, failed, times=1000, take_effect=False):
        with pytest.raises(Unavailable):
            store.append([new_event("a")])

    assert 2 <= len(failed) <= 5


def end_all_sessions_but(session: psycopg.Connection) -> None:
    ended = session.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ).fetchall()
    assert ended
    assert all(row[0] for row in ended)


def test_a_session_that_was_ended_meanwhile_is_replaced(store, other_session):
    store.append([new_event("a")])
    end_all_sessions_but(other_session)

    assert store.append([new_event("a")]).versions == (2,)
    assert len(store.read_aggregate("a")) == 2


# -- A database that is away, stands still or refuses


def test_a_head_that_stays_locked_makes_the_store_unavailable(store, other_session):
    other_session.execute("SELECT 1 FROM eventstore_stream WHERE name = 'ORDERS' FOR UPDATE")
    with connections["eventstore"].cursor() as cursor:
        cursor.execute("SET lock_timeout = '50ms'")

    with pytest.raises(Unavailable):
        store.append([new_event("a")])
    assert store.append([new_event("b", stream="OTHER")]).positions == (1,)

    other_session.rollback()
    assert store.append([new_event("a")]).positions == (1,)


def test_a_statement_that_takes_too_long_makes_the_store_unavailable(store, other_session):
    other_session.execute("LOCK TABLE eventstore_event IN ACCESS EXCLUSIVE MODE")
    with connections["eventstore"].cursor() as cursor:
        cursor.execute("SET statement_timeout = '50ms'")

    with pytest.raises(Unavailable):
        store.append([new_event("a")])
    with pytest.raises(Unavailable):
        store.read_aggregate("a")


def test_a_database_that_only_reads_makes_appends_unavailable(store):
    store.append([new_event("a")])
    with connections["eventstore"].cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")

    with pytest.raises(Unavailable):
        store.append([new_event("a")])
    assert len(store.read_aggregate("a")) == 1


def test_a_database_that_cannot_be_reached_makes_the_store_unavailable(store, monkeypatch):
    connections["eventstore"].close()
    monkeypatch.setitem(connections["eventstore"].settings_dict, "HOST", "/nowhere")

    with pytest.raises(Unavailable) as refusal:
        store.append([new_event("a")])
    assert "/nowhere" not in str(refusal.value)
    for read in (store.head, partial(store.read_aggregate, "a"), lambda: store.read_stream(1)):
        with pytest.raises(Unavailable):
            read()


def test_a_follower_goes_on_after_its_session_was_ended(store, other_session):
    store.append([new_event("a")])
    followed = store.read_stream(follow=True)
    assert next(followed).position == 1

    end_all_sessions_but(other_session)
    together([lambda: store.append([new_event("a")])])

    assert next(followed).position == 2


# -- Beside other servers


@pytest.mark.parametrize("level", [IsolationLevel.READ_COMMITTED, IsolationLevel.SERIALIZABLE])
def test_two_servers_on_one_log_leave_no_gap(level):
    with stores.sql(level):
        first, second = SqlEventStore(), SqlEventStore()

        def write(store: SqlEventStore) -> None:
            for _ in range(20):
                # What a client does: an append that was given up is repeated as it was.
                event = new_event("a")
                eventually(lambda event=event: appended(store, event))

        together([partial(write, first), partial(write, second)])
        assert_gapless(first, 40)


def appended(store: SqlEventStore, event: Any) -> bool:
    try:
        return bool(store.append([event]))
    except Unavailable:
        return False


def test_each_commit_is_announced_once_with_its_position(store):
    heard: list[tuple[str, list[int]]] = []
    store.commits.hooks.append(
        lambda events: heard.append((events[0].stream, [event.position for event in events]))
    )
    event = new_event("a")

    store.append([event])
    store.append([event])
    store.append_batch(
        [Append(events=new_events(2, "b")), Append(events=[new_event("c", stream="OTHER")])]
    )

    assert heard == [("ORDERS", [1]), ("ORDERS", [2, 3]), ("OTHER", [1])]


def test_a_hook_that_fails_does_not_fail_the_append(store, caplog):
    def fail(*news: object) -> None:
        raise RuntimeError("the hook is broken")

    store.commits.hooks.append(fail)

    assert store.append([new_event("a")]).positions == (1,)
    assert "a hook failed" in caplog.text


def test_a_commit_wakes_a_follower_before_its_next_poll(store, monkeypatch):
    monkeypatch.setattr("eventstore.store.FOLLOW_POLL_SECONDS", 60.0)
    followed = store.read_stream(follow=True)

    def follow() -> int:
        return next(followed).position

    def write() -> int:
        return store.append([new_event("a")]).positions[0]

    assert together([follow, write], timeout=10) == [1, 1]
