"""Statements for many rows, several of them sent at once, in SQL that PostgreSQL and CockroachDB
understand alike.

Each takes its rows as tuples in the order of the model's columns, as arrays in a text that is the
same for any number of rows (`orders_site/unnested.py`). All are inserts.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import psycopg
from django.db import connections
from psycopg.crdb import CrdbConnection

from eventstore.client.arrays import Texts
from orders_site.unnested import Unnested, preparing_cursor
from queries.models import DATABASE

# From here on a COPY costs less than an INSERT.
COPY_ROWS = 100

# A model's class; Django's have no types here.
Model = Any
Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Write:
    """Rows on their way into a table, by an insert that may end in ON CONFLICT."""

    insert: str
    unnested: Unnested
    rows: Rows
    copied: bool = False


def insert_absent(model: Model, rows: Rows) -> Write:
    """Insert the rows whose key is not there yet; of many rows, none may be."""
    insert, unnested = _insert_absent(model)
    return Write(insert, unnested, rows, copied=len(rows) >= COPY_ROWS and _is_postgresql())


def add(model: Model, rows: Rows, *, key: tuple[str, ...], counters: tuple[str, ...]) -> Write:
    """Insert rows, or add their counters to the row that has the key already.

    The rows come without their primary key: the database makes up a UUID.
    """
    return Write(*_add(model, key, counters), rows)


def overwrite(model: Model, rows: Rows) -> Write:
    """Set every column of rows that are there, found by their primary key."""
    return Write(*_overwrite(model), rows)


def written(writes: Sequence[Write]) -> list[int]:
    """Run writes in turn, in the caller's transaction; how many rows each inserted or changed.

    Raises:
        IntegrityError: one of many rows is there already; the transaction is to be run again.
    """
    if any(write.copied for write in writes):
        return [_copied(write) if write.copied else _begun(write)() for write in writes]
    with _in_a_pipeline():
        counts = [_begun(write) for write in writes]
    return [count() for count in counts]


def add_selected(
    model: Model,
    select: str,
    parameters: Sequence[Any],
    *,
    key: tuple[str, ...],
    counters: tuple[str, ...],
) -> int:
    """`add` of what a query selects, in the order of the model's columns; how many rows."""
    unnested = Unnested(model, DATABASE, keyless=True)
    sql = f"{unnested.insert(select)} {_adding(unnested, key, counters)}"
    with connections[DATABASE].cursor() as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.rowcount)


def on_orders(sql: str, order_ids: Collection[str]) -> list[Any]:
    """Run a statement whose one parameter is an array of order ids, for none not at all; its rows.

    It is prepared, so PostgreSQL must be told to plan it anew each time
    (`orders_site/databases.py`): a plan from when the table was small reads all of it for ever.
    """
    if not order_ids:
        return []
    with preparing_cursor(connections[DATABASE]) as cursor:
        cursor.execute(sql, [Texts.of(order_ids)])
        return cursor.fetchall() if cursor.description else []


@cache
def _insert_absent(model: Model) -> tuple[str, Unnested]:
    unnested = Unnested(model, DATABASE)
    return f"{unnested.insert()} ON CONFLICT DO NOTHING", unnested


@cache
def _add(model: Model, key: tuple[str, ...], counters: tuple[str, ...]) -> tuple[str, Unnested]:
    unnested = Unnested(model, DATABASE, keyless=True)
    return f"{unnested.insert()} {_adding(unnested, key, counters)}", unnested


@cache
def _overwrite(model: Model) -> tuple[str, Unnested]:
    unnested = Unnested(model, DATABASE)
    key, *others = [unnested.quoted(field.column) for field in unnested.fields]
    changes = ", ".join(f"{name} = excluded.{name}" for name in others)
    return f"{unnested.insert()} ON CONFLICT ({key}) DO UPDATE SET {changes}", unnested


def _adding(unnested: Unnested, key: Sequence[str], counters: Sequence[str]) -> str:
    sums = ", ".join(
        f"{name} = stored.{name} + excluded.{name}" for name in map(unnested.quoted, counters)
    )
    return f"ON CONFLICT ({', '.join(map(unnested.quoted, key))}) DO UPDATE SET {sums}"


def _begun(write: Write) -> Callable[[], int]:
    """Send a write; gives how many rows it was, once its result is there."""
    if not write.rows:
        return lambda: 0
    cursor = preparing_cursor(connections[DATABASE])
    cursor.execute(write.insert, write.unnested.arrays(write.rows))
    return lambda: int(cursor.rowcount)


@contextmanager
def _in_a_pipeline() -> Iterator[None]:
    """What is executed meanwhile is sent without waiting for each result; an error comes last."""
    connection = connections[DATABASE]
    if not _is_postgresql():
        yield
        return
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


def _is_postgresql() -> bool:
    """Not every CockroachDB has COPY as a part of the transaction, and after an error in a
    pipeline some tell of another one.
    """
    connection = connections[DATABASE]
    connection.ensure_connection()
    return not CrdbConnection.is_crdb(connection.connection)


def _copied(write: Write) -> int:
    columns = ", ".join(write.unnested.quoted(field.column) for field in write.unnested.fields)
    table = write.unnested.quoted(write.unnested.table)
    with (
        connections[DATABASE].wrap_database_errors,
        psycopg.Cursor(connections[DATABASE].connection) as cursor,
        cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.set_types(write.unnested.types)
        for row in write.rows:
            copy.write_row(row)
    return len(write.rows)
