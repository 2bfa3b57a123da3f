"""Appends in one statement, on what a store remembers of its last commit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connections
from psycopg import errors

from eventstore.client import Append, Appended, EventIdConflict, VersionConflict
from eventstore.store import SqlEventStore
from tests.contract import stores
from tests.contract.new_events import new_event, new_events
from tests.e2e.invariants import check_log
from tests.integration import tampering

pytestmark = pytest.mark.django_db(databases=["eventstore"], transaction=True)
IN_ONE = "WITH moved AS"
UNKNOWN = [
    errors.OperationalError,
    errors.ConnectionFailure,
    errors.StatementCompletionUnknown,
    errors.AdminShutdown,
]


@pytest.fixture
def store() -> Iterator[SqlEventStore]:
    """A store that remembers its last commit: aggregate "a" at version 1."""
    with stores.sql() as store:
        store.append([new_event("a")])
        yield store
        check_log(list(store.read_stream()))


@contextmanager
def statements(
    error: type[psycopg.Error] | None = None, *, took_effect: bool = False
) -> Iterator[list[str]]:
    """What is sent meanwhile; the first append in one statement fails with `error`."""
    sent: list[str] = []

    def execute(run: Callable, sql: str, params: Any, many: bool, context: Any) -> Any:
        sent.append(sql)
        if error is None or IN_ONE not in sql or sum(IN_ONE in each for each in sent) > 1:
            return run(sql, params, many, context)
        if took_effect:
            run(sql, params, many, context)
        raise OperationalError("injected") from error("injected")

    with connections["eventstore"].execute_wrapper(execute):
        yield sent


def in_one(sent: list[str]) -> bool:
    return len(sent) == 1 and IN_ONE in sent[0]


@pytest.mark.parametrize("expected", [1, None])
def test_an_append_to_a_known_aggregate_is_one_statement(store, expected):
    with statements() as sent:
        assert store.append(new_events(2, "a"), expected).positions == (2, 3)
    assert in_one(sent)


def test_new_aggregates_are_one_statement_for_all(store):
    appends = [Append(events=new_events(2, f"new-{n}"), expected_version=0) for n in range(50)]
    with statements() as sent:
        outcomes = store.append_batch(appends)
    assert in_one(sent)
    assert [outcome.versions for outcome in outcomes] == [(1, 2)] * 50


def test_an_aggregate_that_began_in_the_same_batch_is_known(store):
    with statements() as sent:
        outcomes = store.append_batch(
            [
                Append(events=[new_event("b")], expected_version=0),
                Append(events=[new_event("b")]),
                Append(events=[new_event("b")], expected_version=2),
            ]
        )
    assert in_one(sent)
    assert [outcome.versions for outcome in outcomes] == [(1,), (2,), (3,)]


def test_any_version_of_an_unknown_aggregate_is_looked_up(store):
    store.append([new_event("b")])
    fresh = SqlEventStore()
    fresh.append([new_event("c")], 0)
    assert fresh.append([new_event("b")]).versions == (2,)


@pytest.mark.parametrize("error", UNKNOWN)
@pytest.mark.parametrize("took_effect", [True, False])
def test_an_append_of_which_nobody_heard_is_stored_once(store, error, took_effect):
    with statements(error, took_effect=took_effect) as sent:
        appended = store.append(new_events(2, "a"), 1)
    assert any(IN_ONE in each for each in sent)
    assert appended == Appended(versions=(2, 3), positions=(2, 3))
    assert store.head().position == 3


@pytest.mark.parametrize(
    "error", [errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation]
)
def test_an_aborted_append_is_decided_under_the_lock(store, error):
    with statements(error) as sent:
        assert store.append([new_event("a")], 1).positions == (2,)
    assert any("FOR UPDATE" in each for each in sent)


def test_a_database_that_does_not_take_the_one_statement_is_told_of_and_does_without(store, caplog):
    with statements(errors.FeatureNotSupported):
        assert store.append([new_event("a")], 1).positions == (2,)
    assert "0A000" in caplog.text


def test_what_another_server_appended_is_seen(store):
    other = SqlEventStore()
    for version in range(2, 12):
        writer = (store, other)[version % 2]
        assert writer.append([new_event("a")]).versions == (version,)
    with pytest.raises(VersionConflict) as conflict:
        store.append([new_event("a")], 10)
    assert conflict.value.actual_version == 11


def test_an_aggregate_that_another_server_began_cannot_begin_again(store):
    SqlEventStore().append([new_event("b")])
    with pytest.raises(VersionConflict) as conflict:
        store.append([new_event("b")], 0)
    assert conflict.value.actual_version == 1


def test_an_aggregate_that_is_no_longer_remembered_cannot_begin_again(store, monkeypatch):
    monkeypatch.setattr("eventstore.committing.MAX_TIPS", 1)
    store.append([new_event("b")], 0)
    with pytest.raises(VersionConflict) as conflict:
        store.append([new_event("a")], 0)
    assert conflict.value.actual_version == 1


def test_a_repeated_append_is_answered_as_the_first_one_and_is_no_error(store, caplog):
    events = new_events(2, "b")
    first = store.append(events, 0)
    assert store.append(events, 0) == first
    assert store.append(events) == first
    with pytest.raises(EventIdConflict):
        store.append([new_event("b", event_id=events[0].event_id, data="{}")])
    assert store.head().position == 3
    assert caplog.records == []


def test_an_append_beside_a_refused_one_takes_effect(store):
    outcomes = store.append_batch(
        [
            Append(events=[new_event("a")], expected_version=7),
            Append(events=[new_event("a")], expected_version=1),
        ]
    )
    assert isinstance(outcomes[0], VersionConflict)
    assert outcomes[1] == Appended(versions=(2,), positions=(2,))


def test_a_log_that_was_set_back_is_not_continued_from_memory(store):
    before = store.head()
    store.append(new_events(2, "a"))
    tampering.delete(2, 3)
    tampering.run_sql(
        "UPDATE eventstore_stream SET position = %s, hash = %s WHERE name = 'ORDERS'",
        before.position,
        before.hash,
    )
    assert store.append([new_event("a")]) == Appended(versions=(2,), positions=(2,))


def test_a_log_that_was_set_back_is_not_continued_for_other_aggregates_either(store):
    store.append([new_event("b")], 0)
    before = store.head()
    store.append(new_events(2, "b"))
    tampering.delete(3, 4)
    tampering.run_sql(
        "UPDATE eventstore_stream SET position = %s, hash = %s WHERE name = 'ORDERS'",
        before.position,
        before.hash,
    )
    store.append([new_event("a")])
    assert store.append([new_event("b")]) == Appended(versions=(2,), positions=(4,))


def test_a_log_under_a_new_id_is_not_continued_from_memory(store):
    head = store.head()
    tampering.run_sql("UPDATE eventstore_stream SET log_id = gen_random_uuid()")
    with statements() as sent:
        store.append([new_event("a")])
    assert any("FOR UPDATE" in each for each in sent)
    assert store.head().log_id != head.log_id


def test_a_log_that_was_replaced_by_one_of_the_same_length_is_not_continued_from_memory(store):
    tampering.delete(1, 1)
    tampering.run_sql("UPDATE eventstore_stream SET position = 0, hash = %s", bytes(32))
    SqlEventStore().append([new_event("b")])
    assert store.append([new_event("a")]) == Appended(versions=(1,), positions=(2,))
