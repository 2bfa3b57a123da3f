"""One statement for many rows, in SQL that PostgreSQL and CockroachDB understand alike.

Each takes its rows as tuples in the order of the model's columns and travels as one array per
column: several times faster than the ORM's bulk operations.
"""

from collections.abc import Collection, Sequence
from typing import Any

from django.db import connections, models

from queries.models import DATABASE


def insert_absent(model: type[models.Model], rows: Sequence[Sequence[Any]]) -> int:
    """Insert the rows whose key is not there yet; how many those were."""
    return _execute(f"{_insert(model)} ON CONFLICT DO NOTHING", model, rows)


def add(
    model: type[models.Model],
    rows: Sequence[Sequence[Any]],
    *,
    key: Sequence[str],
    counters: Collection[str],
) -> None:
    """Insert rows, or add their counters to the row that has the key already."""
    table, quote = model._meta.db_table, connections[DATABASE].ops.quote_name
    sums = ", ".join(
        f"{quote(name)} = {quote(table)}.{quote(name)} + excluded.{quote(name)}"
        for name in counters
    )
    target = ", ".join(map(quote, key))
    _execute(f"{_insert(model)} ON CONFLICT ({target}) DO UPDATE SET {sums}", model, rows)


def update(model: type[models.Model], rows: Sequence[Sequence[Any]]) -> None:
    """Set every column of the rows, found by their primary key."""
    quote = connections[DATABASE].ops.quote_name
    table, pk = quote(model._meta.db_table), quote(str(model._meta.pk.column))
    names = [quote(field.column) for field in model._meta.concrete_fields]
    changes = ", ".join(f"{name} = new.{name}" for name in names if name != pk)
    source = f"unnest({_arrays(model)}) AS new({', '.join(names)})"
    # Identifiers are the model's own, values travel as parameters.
    sql = f"UPDATE {table} SET {changes} FROM {source} WHERE {table}.{pk} = new.{pk}"  # noqa: S608
    _execute(sql, model, rows)


def _insert(model: type[models.Model]) -> str:
    quote = connections[DATABASE].ops.quote_name
    names = ", ".join(quote(field.column) for field in model._meta.concrete_fields)
    table = quote(model._meta.db_table)
    return f"INSERT INTO {table} ({names}) SELECT * FROM unnest({_arrays(model)})"  # noqa: S608


def _arrays(model: type[models.Model]) -> str:
    """A placeholder per column; without lengths, since a cast to varchar(n) cuts text silently."""
    connection = connections[DATABASE]
    types = (str(field.db_type(connection)) for field in model._meta.concrete_fields)
    return ", ".join(f"%s::{name.partition('(')[0]}[]" for name in types)


def _execute(sql: str, model: type[models.Model], rows: Sequence[Sequence[Any]]) -> int:
    if not rows:
        return 0
    with connections[DATABASE].cursor() as cursor:
        cursor.execute(sql, [list(column) for column in zip(*rows, strict=True)])
        return cursor.rowcount
