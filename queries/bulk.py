"""One statement for many rows, in SQL that PostgreSQL and CockroachDB understand alike.

Each takes its rows as tuples in the order of the model's columns and travels as one binary array
per column, in a text that is the same for any number of rows, so that it is prepared once. All are
inserts: their plan can't go stale, as that of an update can, which was made for a small table.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg
from django.db import connections
from psycopg.crdb import CrdbConnection

from queries.models import DATABASE

# From here on a COPY costs less than an INSERT (a third of the CPU here, two thirds there).
COPY_ROWS = 100

# A model's class; Django's have no types here.
Model = Any
Rows = Sequence[Sequence[Any]]


def insert_absent(model: Model, rows: Rows) -> int:
    """Insert the rows whose key is not there yet; how many those were.

    Raises:
        IntegrityError: one of many rows is there already; the transaction is to be run again.
    """
    if len(rows) >= COPY_ROWS and _copies():
        return _copied(model, rows)
    return _execute(_insert_absent(model), rows)


def add(model: Model, rows: Rows, *, key: tuple[str, ...], counters: tuple[str, ...]) -> None:
    """Insert rows, or add their counters to the row that has the key already.

    The rows come without their primary key: the database makes up a UUID.
    """
    _execute(_add(model, key, counters), rows)


def add_selected(
    model: Model,
    select: str,
    parameters: Sequence[Any],
    *,
    key: tuple[str, ...],
    counters: tuple[str, ...],
) -> int:
    """`add` of what a query selects, in the order of the model's columns; how many rows."""
    sql = f"{_insert(model, _names(model)[1:], select)} {_adding(model, key, counters)}"
    with connections[DATABASE].cursor() as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.rowcount)


def overwrite(model: Model, rows: Rows) -> None:
    """Set every column of rows that are there, found by their primary key."""
    _execute(_overwrite(model), rows)


@cache
def _insert_absent(model: Model) -> str:
    columns = _names(model)
    return f"{_insert(model, columns, _unnested(model, columns))} ON CONFLICT DO NOTHING"


@cache
def _add(model: Model, key: tuple[str, ...], counters: tuple[str, ...]) -> str:
    columns = _names(model)[1:]
    insert = _insert(model, columns, _unnested(model, columns))
    return f"{insert} {_adding(model, key, counters)}"


@cache
def _overwrite(model: Model) -> str:
    columns = _names(model)
    pk, *others = map(_quoted, columns)
    changes = ", ".join(f"{name} = excluded.{name}" for name in others)
    insert = _insert(model, columns, _unnested(model, columns))
    return f"{insert} ON CONFLICT ({pk}) DO UPDATE SET {changes}"


def _insert(model: Model, columns: Sequence[str], select: str) -> str:
    """With a UUID in front where the columns are all but the primary key."""
    every = _names(model)
    made_up = "gen_random_uuid(), " if len(columns) < len(every) else ""
    table, names = _quoted(model._meta.db_table), ", ".join(map(_quoted, every))
    # Identifiers are the model's own, values travel as parameters.
    return f"INSERT INTO {table} ({names}) SELECT {made_up}given.* FROM ({select}) AS given"  # noqa: S608


def _adding(model: Model, key: Sequence[str], counters: Sequence[str]) -> str:
    table = _quoted(model._meta.db_table)
    sums = ", ".join(
        f"{name} = {table}.{name} + excluded.{name}" for name in map(_quoted, counters)
    )
    return f"ON CONFLICT ({', '.join(map(_quoted, key))}) DO UPDATE SET {sums}"


def _unnested(model: Model, columns: Sequence[str]) -> str:
    """A binary placeholder per column."""
    types = _types(model)
    arrays = ", ".join(f"%b::{types[name]}[]" for name in columns)
    return f"SELECT * FROM unnest({arrays}) AS given ({', '.join(map(_quoted, columns))})"  # noqa: S608


def _names(model: Model) -> list[str]:
    """The columns, the primary key first."""
    return [field.column for field in model._meta.concrete_fields]


def _types(model: Model) -> dict[str, str]:
    """Column -> type, without lengths, since a cast to varchar(n) cuts text silently."""
    connection = connections[DATABASE]
    return {
        field.column: str(field.db_type(connection)).partition("(")[0]
        for field in model._meta.concrete_fields
    }


def _quoted(name: str) -> str:
    return connections[DATABASE].ops.quote_name(name)


def _execute(sql: str, rows: Rows) -> int:
    if not rows:
        return 0
    with _preparing_cursor() as cursor:
        cursor.execute(sql, [list(column) for column in zip(*rows, strict=True)])
        return int(cursor.rowcount)


@contextmanager
def _preparing_cursor() -> Iterator[Any]:
    """Django's own put the parameters into the text, so that nothing could be prepared."""
    connection = connections[DATABASE]
    connection.ensure_connection()
    with connection._prepare_cursor(psycopg.Cursor(connection.connection)) as cursor:
        yield cursor


def _copies() -> bool:
    """Not every CockroachDB has COPY as a part of the transaction."""
    connection = connections[DATABASE]
    connection.ensure_connection()
    return not CrdbConnection.is_crdb(connection.connection)


def _copied(model: Model, rows: Rows) -> int:
    types = _types(model)
    sql = (
        f"COPY {_quoted(model._meta.db_table)} ({', '.join(map(_quoted, types))}) "
        "FROM STDIN (FORMAT BINARY)"
    )
    with (
        connections[DATABASE].wrap_database_errors,
        psycopg.Cursor(connections[DATABASE].connection) as cursor,
        cursor.copy(sql) as copy,
    ):
        copy.set_types(list(types.values()))
        for row in rows:
            copy.write_row(row)
    return len(rows)
