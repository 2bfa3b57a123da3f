"""Parameters that are whole columns of rows: PostgreSQL's arrays, in their binary format.

psycopg dumps a list element by element, which costs an event of eleven columns some 25 us; joining
the bytes here costs 3. The format is that of `array_recv` in PostgreSQL's source, which CockroachDB
reads too.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from struct import Struct
from typing import ClassVar
from uuid import UUID

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

from eventstore.client.hashing import microseconds

_HEADER = Struct(">iiIii").pack  # dimensions, has NULLs, type of the elements, length, lower bound
_LENGTH = Struct(">i").pack
_INTEGER = Struct(">iq").pack
# From 1970-01-01, where `microseconds` counts from, to 2000-01-01, where PostgreSQL does.
_POSTGRES_EPOCH = timedelta(days=10_957) // timedelta(microseconds=1)


class Array(bytes):
    """An array as it is sent; each of its types is a class, by which psycopg knows it."""

    element: ClassVar[str]


class Uuids(Array):
    element = "uuid"


class Texts(Array):
    element = "text"


class Integers(Array):
    element = "int8"


class Moments(Array):
    element = "timestamptz"


class Blobs(Array):
    element = "bytea"


def uuids(values: Collection[UUID]) -> Uuids:
    """A `uuid[]`."""
    return Uuids(_array(Uuids, len(values), (_LENGTH(16) + value.bytes for value in values)))


def texts(values: Collection[str]) -> Texts:
    """A `text[]`."""
    return Texts(_array(Texts, len(values), map(_sized, map(str.encode, values))))


def integers(values: Collection[int]) -> Integers:
    """A `bigint[]`."""
    return Integers(_array(Integers, len(values), (_INTEGER(8, value) for value in values)))


def moments(values: Collection[datetime]) -> Moments:
    """A `timestamptz[]`, of moments that know their time zone."""
    parts = (_INTEGER(8, microseconds(value) - _POSTGRES_EPOCH) for value in values)
    return Moments(_array(Moments, len(values), parts))


def blobs(values: Collection[bytes]) -> Blobs:
    """A `bytea[]`."""
    return Blobs(_array(Blobs, len(values), map(_sized, values)))


def _sized(value: bytes) -> bytes:
    return _LENGTH(len(value)) + value


def _array(kind: type[Array], length: int, parts: Iterable[bytes]) -> bytes:
    dimensions = 1 if length else 0
    element = psycopg.adapters.types[kind.element].oid
    header = _HEADER(dimensions, 0, element, length, 1)
    return b"".join((header if length else header[:12], *parts))


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def __init__(self, cls: type[Array], context: object = None) -> None:
        super().__init__(cls, None)
        self.oid = psycopg.adapters.types[cls.element].array_oid

    def dump(self, obj: Array) -> Buffer:
        return obj


def register() -> None:
    """Tell psycopg of the arrays; before the first connection, which copies what is known."""
    for kind in (Uuids, Texts, Integers, Moments, Blobs):
        psycopg.adapters.register_dumper(kind, _ArrayDumper)
