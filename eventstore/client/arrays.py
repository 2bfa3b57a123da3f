"""Parameters that are whole columns of rows: PostgreSQL's arrays, in their binary format.

psycopg dumps a list element by element, through a call of Python for each; here the bytes are
joined. The format is that of `array_recv` in PostgreSQL's source, which CockroachDB reads too.
"""

from collections.abc import Collection
from datetime import date, datetime, timedelta
from struct import Struct
from typing import Any, ClassVar, Self
from uuid import UUID

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

from eventstore.client.hashing import microseconds

_HEADER = Struct(">iiIii").pack  # dimensions, flags, type of the elements, length, lower bound
_NULLS_MAY_COME = 1
_LENGTH = Struct(">i").pack
_NULL = _LENGTH(-1)
_OF_UUID = _LENGTH(16)
_INTEGER = Struct(">iq").pack
_DAY = Struct(">ii").pack
_FLAG = Struct(">i?").pack
# From 1970-01-01, where `microseconds` counts from, to 2000-01-01, where PostgreSQL does.
_POSTGRES_EPOCH = timedelta(days=10_957) // timedelta(microseconds=1)
_POSTGRES_DAY = date(2000, 1, 1).toordinal()


class Array(bytes):
    """An array as it is sent; each type of it is a class, by which psycopg knows it."""

    element: ClassVar[str]

    @staticmethod
    def sized(value: Any) -> bytes:
        """An element that is not NULL, after its length."""
        raise NotImplementedError

    @classmethod
    def of(cls, values: Collection[Any]) -> Self:
        """The array of the values, of which None is NULL."""
        sized = cls.sized
        element = psycopg.adapters.types[cls.element].oid
        header = _HEADER(1 if values else 0, _NULLS_MAY_COME, element, len(values), 1)
        parts = [_NULL if value is None else sized(value) for value in values]
        return cls(b"".join((header if values else header[:12], *parts)))


class Uuids(Array):
    element = "uuid"

    @staticmethod
    def sized(value: UUID) -> bytes:
        return _OF_UUID + value.bytes


class Texts(Array):
    element = "text"

    @staticmethod
    def sized(value: str) -> bytes:
        encoded = value.encode()
        return _LENGTH(len(encoded)) + encoded


class Integers(Array):
    element = "int8"

    @staticmethod
    def sized(value: int) -> bytes:
        return _INTEGER(8, value)


class Moments(Array):
    """Of moments that know their time zone."""

    element = "timestamptz"

    @staticmethod
    def sized(value: datetime) -> bytes:
        return _INTEGER(8, microseconds(value) - _POSTGRES_EPOCH)


class Days(Array):
    element = "date"

    @staticmethod
    def sized(value: date) -> bytes:
        return _DAY(4, value.toordinal() - _POSTGRES_DAY)


class Flags(Array):
    element = "bool"

    @staticmethod
    def sized(value: bool) -> bytes:
        return _FLAG(1, value)


class Blobs(Array):
    element = "bytea"

    @staticmethod
    def sized(value: bytes) -> bytes:
        return _LENGTH(len(value)) + value


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def __init__(self, cls: type[Array], context: object = None) -> None:
        super().__init__(cls, None)
        self.oid = psycopg.adapters.types[cls.element].array_oid

    def dump(self, obj: Array) -> Buffer:
        return obj


def register() -> None:
    """Tell psycopg of the arrays; before the first connection, which copies what is known."""
    for kind in Array.__subclasses__():
        psycopg.adapters.register_dumper(kind, _ArrayDumper)
