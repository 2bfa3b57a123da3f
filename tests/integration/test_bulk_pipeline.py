"""Writes that are sent together: whatever becomes of one, the error is its own and the connection
serves the next transaction.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, OperationalError, connections, transaction

from eventstore.client.outages import is_conflict, is_outage
from orders_site.transactions import committed
from queries import bulk
from queries.models import CustomerSummary, OrderItemRow
from tests.together import eventually

pytestmark = pytest.mark.django_db(databases=["queries"], transaction=True)

DAY = date(2026, 3, 1)


def item(order_id: str, line: int = 1, quantity: int = 1) -> tuple[Any, ...]:
    return (order_id, line, "M1", "Margherita", 1250, quantity)


def items(*rows: tuple[Any, ...]) -> bulk.Write:
    return bulk.insert_absent(OrderItemRow, rows)


def summaries(*customers: str) -> bulk.Write:
    return bulk.add(
        CustomerSummary,
        [(customer, DAY, "paid", "EUR", 1, 100) for customer in customers],
        key=("customer_id", "day", "status", "currency"),
        counters=("orders", "amount_minor"),
    )


def in_a_transaction(*writes: bulk.Write) -> list[int]:
    with transaction.atomic(using="queries", durable=True):
        return bulk.written(writes)


@contextmanager
def another_connection() -> Iterator[psycopg.Connection]:
    parameters = connections["queries"].get_connection_params()
    known = psycopg.conninfo.conninfo_to_dict()
    keys = ("dbname", "host", "port", "user", "password")
    known |= {key: parameters[key] for key in keys if parameters.get(key)}
    with psycopg.connect(**known) as other:
        yield other


@pytest.mark.parametrize("sound_before", range(8))
def test_statements_are_prepared_anew_after_an_error_that_kept_them_from_it(
    sound_before: int,
) -> None:
    for number in range(sound_before):
        in_a_transaction(items(item(f"sound-{number}")), summaries("a"))
    for number in range(8):
        with pytest.raises(DatabaseError, match="check constraint"):
            in_a_transaction(items(item("wrong", line=-1)), summaries("a"), items(item("after")))
        in_a_transaction(items(item(f"order-{number}")), summaries("a"))
    assert OrderItemRow.objects.count() == sound_before + 8
    assert CustomerSummary.objects.get().orders == sound_before + 8


@pytest.mark.parametrize("place", range(3))
def test_the_error_is_that_of_the_statement_that_failed(place: int) -> None:
    writes = [items(item("a")), summaries("a"), items(item("b"))]
    writes[place] = items(item("wrong", quantity=1), item("wrong", line=-1))
    with pytest.raises(DatabaseError) as raised:
        in_a_transaction(*writes)
    assert getattr(raised.value.__cause__, "sqlstate", None) == "23514"
    assert not OrderItemRow.objects.exists()
    assert in_a_transaction(items(item("a"))) == [1]


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_what_is_no_value_of_a_column_fails_without_harm_to_the_connection(value: int) -> None:
    with pytest.raises(Exception) as raised:
        in_a_transaction(summaries("a"), items(item("a", quantity=value)))
    assert not is_outage(raised.value)
    assert in_a_transaction(summaries("a")) == [1]
    assert CustomerSummary.objects.get().orders == 1


def test_a_lock_that_another_holds_too_long_is_an_outage() -> None:
    in_a_transaction(summaries("a"))
    with another_connection() as other:
        other.execute("SELECT 1 FROM queries_customersummary FOR UPDATE")
        with (
            pytest.raises(OperationalError) as raised,
            transaction.atomic(using="queries", durable=True),
        ):
            with connections["queries"].cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '50ms'")
            bulk.written([items(item("a")), summaries("a"), items(item("b"))])
        assert is_outage(raised.value)
        assert not is_conflict(raised.value)
    assert not OrderItemRow.objects.exists()
    assert in_a_transaction(summaries("a")) == [1]


def test_a_statement_that_takes_too_long_is_an_outage() -> None:
    in_a_transaction(summaries("a"))
    with another_connection() as other:
        other.execute("SELECT 1 FROM queries_customersummary FOR UPDATE")
        with (
            pytest.raises(OperationalError) as raised,
            transaction.atomic(using="queries", durable=True),
        ):
            with connections["queries"].cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = '50ms'")
            bulk.written([items(item("a")), summaries("a"), items(item("b"))])
        assert is_outage(raised.value)
    assert in_a_transaction(summaries("a")) == [1]


def test_a_connection_that_is_lost_among_the_statements_is_an_outage_and_a_new_one_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connections["queries"].ensure_connection()
    pid = connections["queries"].connection.info.backend_pid
    begun: list[bulk.Write] = []

    def ended(write: bulk.Write, begin: Any = bulk._begun) -> Callable[[], int]:
        begun.append(write)
        if len(begun) == 2:
            with another_connection() as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        return begin(write)

    with monkeypatch.context() as patched:
        patched.setattr(bulk, "_begun", ended)
        with pytest.raises(DatabaseError) as raised:
            in_a_transaction(items(item("a")), summaries("a"), items(item("b")))
    assert is_outage(raised.value)
    assert not OrderItemRow.objects.exists()
    assert in_a_transaction(items(item("a")), summaries("a")) == [1, 1]


def test_a_conflict_within_the_statements_has_the_whole_run_again() -> None:
    in_a_transaction(summaries("a"))
    runs: list[int] = []

    def work() -> list[int]:
        runs.append(1)
        with connections["queries"].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT count(*) FROM queries_customersummary")
        if len(runs) == 1:
            with another_connection() as other:
                other.execute("UPDATE queries_customersummary SET orders = 10")
        return bulk.written([items(item("a")), summaries("a"), items(item("b"))])

    assert committed("queries", work) == [1, 1, 1]
    assert len(runs) == 2
    assert CustomerSummary.objects.get().orders == 11


def one_alone() -> None:
    with connections["queries"].cursor() as cursor:
        cursor.execute("SELECT 1")


def several() -> None:
    bulk.written([items(item("a")), summaries("a")])


@pytest.mark.parametrize("statements", [one_alone, several])
def test_a_transaction_that_was_idle_for_too_long_is_an_outage(
    statements: Callable[[], None],
) -> None:
    with pytest.raises(DatabaseError) as raised, transaction.atomic(using="queries", durable=True):
        with connections["queries"].cursor() as cursor:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '20ms'")
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
        with another_connection() as other:
            other.autocommit = True
            living = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
            eventually(lambda: other.execute(living, [pid]).fetchone() == (0,))
        statements()
    assert is_outage(raised.value)
    assert in_a_transaction(summaries("a")) == [1]
