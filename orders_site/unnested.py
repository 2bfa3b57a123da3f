"""Rows of a model as a statement takes them: whole columns, each as one binary array, in a text
that is the same for any number of rows, so that it is prepared once.

The SQL is that which PostgreSQL and CockroachDB share.
"""

import json
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import psycopg
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg.pq import Format

from eventstore.client.arrays import Array, Blobs, Days, Flags, Integers, Moments, Texts, Uuids

# Numerics and JSON travel as text: an array of the first would cost more to make, and CockroachDB
# has none of the second.
_ARRAYS: dict[str, type[Array]] = {
    "uuid": Uuids,
    "bigint": Integers,
    "integer": Integers,
    "smallint": Integers,
    "date": Days,
    "boolean": Flags,
    "timestamptz": Moments,
    "bytea": Blobs,
    "varchar": Texts,
    "text": Texts,
    "numeric": Texts,
    "jsonb": Texts,
}


class Unnested:
    """Inserts into the table of a model; rows are tuples in the order of `names`.

    Args:
        model: a class of Django's.
        database: its alias.
        keyless: the rows come without their primary key, and the database makes up a UUID.
    """

    def __init__(self, model: type[models.Model], database: str, *, keyless: bool = False) -> None:
        self._model = model
        self._database = database
        self._keyless = keyless

    @property
    def table(self) -> str:
        """Its name."""
        return str(self._model._meta.db_table)

    @cached_property
    def fields(self) -> list[Any]:
        """The fields that a row has, the primary key first if it is among them."""
        return self._model._meta.concrete_fields[1 if self._keyless else 0 :]

    @cached_property
    def types(self) -> list[str]:
        """Of the fields, without lengths, since a cast to varchar(n) cuts text silently."""
        connection = connections[self._database]
        return [str(field.db_type(connection)).partition("(")[0] for field in self.fields]

    def quoted(self, name: str) -> str:
        """A name for SQL."""
        return connections[self._database].ops.quote_name(name)

    def insert(self, select: str = "") -> str:
        """SQL that inserts what a query selects, else the rows given as `arrays`, and goes on with
        ON CONFLICT or nothing; in it the table is called `stored`.
        """
        every = [self.quoted(field.column) for field in self._model._meta.concrete_fields]
        made_up = "gen_random_uuid(), " if self._keyless else ""
        # Identifiers are the model's own, values travel as parameters.
        return (
            f"INSERT INTO {self.quoted(self.table)} AS stored "  # noqa: S608
            f"({', '.join(every)}) SELECT {made_up}given.* FROM ({select or self._rows}) AS given"
        )

    def arrays(self, rows: Sequence[Sequence[Any]]) -> list[Array]:
        """The parameters of `insert()`."""
        columns = zip(*rows, strict=True)
        return [
            kind.of(column if prepare is None else [prepare(value) for value in column])
            for (kind, prepare), column in zip(self._columns, columns, strict=True)
        ]

    @property
    def _rows(self) -> str:
        names = [self.quoted(field.column) for field in self.fields]
        arrays = ", ".join(f"%b::{kind.element}[]" for kind, _ in self._columns)
        typed = ", ".join(map("{}::{}".format, names, self.types))
        return f"SELECT {typed} FROM unnest({arrays}) AS given ({', '.join(names)})"  # noqa: S608

    @cached_property
    def _columns(self) -> list[tuple[type[Array], Callable[[Any], str | None] | None]]:
        """Of each column: its array, and what makes a text of a value that is not one."""
        return [
            (_array(type_), _texter(field, type_))
            for field, type_ in zip(self.fields, self.types, strict=True)
        ]


def _array(type_: str) -> type[Array]:
    if type_ not in _ARRAYS:
        # The text of a value need not be what the database reads the value from.
        raise NotImplementedError(f"rows with a column of type {type_}")
    return _ARRAYS[type_]


def _texter(field: Any, type_: str) -> Callable[[Any], str | None] | None:
    text: Callable[[Any], str]
    match type_:
        case "jsonb":
            text = partial(json.dumps, cls=field.encoder)
        case "numeric":
            text = str
        case _:
            return None
    return lambda value: None if value is None else text(value)


def preparing_cursor(connection: BaseDatabaseWrapper) -> CursorWrapper:
    """A cursor that has the server bind and prepare, and send its rows in binary.

    Django's own put the parameters into the text, so that nothing could be prepared.
    """
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    with connection.wrap_database_errors:
        cursor = psycopg.Cursor(connection.connection)
        cursor.format = Format.BINARY
        return connection._prepare_cursor(cursor)
