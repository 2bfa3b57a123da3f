"""Statements on a context's own rows, gathered: what is asked for at the same moment is one.

A gathered statement is a transaction of its own that reads and writes in one go, so it needs no
stricter isolation than a database gives a single statement.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Generic, TypeVar

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from eventstore.client.batching import Batcher
from eventstore.client.outages import is_outage, run_through_conflicts
from orders_site.unnested import Unnested, preparing_cursor

MOST_AT_ONCE = 100
MOST_WAITING = 1_000
PATIENCE_SECONDS = 10.0
# A connection that was idle for longer is asked whether it still lives.
CHECK_AFTER_SECONDS = 0.5

Item = TypeVar("Item")
Result = TypeVar("Result")
Row = TypeVar("Row", bound=models.Model)
Work = Callable[[CursorWrapper, Sequence[Item]], Sequence[Result]]


@dataclass(frozen=True)
class _Refused:
    """What came of an item that the database would not take."""

    error: Exception


class Gathered(Generic[Item, Result]):
    """Does `work` for items: alone, or together with those of others.

    Args:
        database: its alias.
        work: from a cursor and items to a result for each, in their order. It may be run again,
            so a second run must do no harm. If it fails for several, each is tried alone.
    """

    def __init__(self, database: str, work: Work[Item, Result]) -> None:
        self._database = database
        self._work = work
        self._batcher: Batcher[Item, Result | _Refused] = Batcher(
            self._together,
            batch_weight=MOST_AT_ONCE,
            waiting_weight=MOST_WAITING,
            patience_seconds=PATIENCE_SECONDS,
        )

    def run(self, item: Item) -> Result:
        """The item's result; committed, unless the caller is inside a transaction: then part of it.

        Raises:
            Overloaded: the database does not keep up.
            django.db.Error: as `work` raised it.
        """
        own = connections[self._database]
        if own.in_atomic_block:
            with preparing_cursor(own) as cursor:
                return self._work(cursor, [item])[0]
        outcome = self._batcher.do(item)
        if isinstance(outcome, _Refused):
            raise outcome.error
        return outcome

    def _together(self, items: Sequence[Item]) -> Sequence[Result | _Refused]:
        try:
            return run_through_conflicts(lambda: self._now(items))
        except Exception as error:
            if len(items) == 1 or is_outage(error):
                raise
            return [self._alone(item) for item in items]

    def _alone(self, item: Item) -> Result | _Refused:
        try:
            return run_through_conflicts(lambda: self._now([item]))[0]
        except Exception as error:
            if is_outage(error):
                raise
            return _Refused(error)

    def _now(self, items: Sequence[Item]) -> Sequence[Result]:
        with _shared(self._database).cursor() as cursor:
            return self._work(cursor, items)


class Upsert(Generic[Row]):
    """Inserts rows of a model, or changes those that have their keys already.

    Args:
        changes: the fields that a row which is there takes over.
        when: SQL that must hold for that, of the row there (`stored`) and the new one (`excluded`).
        returning: the fields to read back into the row that was given.
    """

    def __init__(
        self,
        model: type[Row],
        database: str,
        *,
        changes: Sequence[str],
        when: str = "true",
        returning: Sequence[str] = (),
    ) -> None:
        self._unnested = Unnested(model, database)
        self._changes = changes
        self._when = when
        self._returning = returning
        self._gathered = Gathered(database, self._write)

    def write(self, row: Row) -> bool:
        """Whether the row was inserted or changed; False if `when` kept what was there.

        Raises:
            as `Gathered.run`.
        """
        stored = self._gathered.run(row)
        if stored is None:
            return False
        for name, value in zip(self._returning, stored, strict=True):
            setattr(row, name, value)
        return True

    def _write(self, cursor: CursorWrapper, rows: Sequence[Row]) -> list[Sequence[Any] | None]:
        written: list[Sequence[Any] | None] = [None] * len(rows)
        left = dict(enumerate(rows))
        while left:
            # A statement may touch a row once, so a key that comes again waits for the next; and
            # rows are locked in the order of their keys, lest two processes wait for each other.
            places = {row.pk: place for place, row in reversed(left.items())}
            now = [left.pop(places[pk]) for pk in sorted(places)]
            cursor.execute(self._sql, self._unnested.arrays([self._values(row) for row in now]))
            for pk, *stored in cursor:
                written[places[pk]] = stored
        return written

    def _values(self, row: Row) -> list[Any]:
        return [getattr(row, field.attname) for field in self._unnested.fields]

    @cached_property
    def _sql(self) -> str:
        quoted, fields = self._unnested.quoted, self._unnested.fields
        names = {field.name: quoted(field.column) for field in fields}
        key = fields[0].name
        changes = ", ".join(f"{names[name]} = excluded.{names[name]}" for name in self._changes)
        returning = ", ".join(f"stored.{names[name]}" for name in (key, *self._returning))
        return (
            f"{self._unnested.insert()} ON CONFLICT ({names[key]}) DO UPDATE SET {changes} "
            f"WHERE {self._when} RETURNING {returning}"
        )


class _Shared:
    """The process' one connection to a database for all that is gathered, used in turn.

    So that a reactor has one connection for its rows, however many reactions run.
    """

    def __init__(self, database: str) -> None:
        self._database = database
        self._turn = threading.Lock()
        self._connection: BaseDatabaseWrapper | None = None
        self._used_at = 0.0

    @contextmanager
    def cursor(self) -> Iterator[CursorWrapper]:
        """A cursor, once it is the caller's turn; after an error the next one is on a new
        connection.
        """
        with self._turn:
            connection = self._opened()
            try:
                with preparing_cursor(connection) as cursor:
                    yield cursor
            except BaseException:
                connection.close()
                raise
            self._used_at = time.monotonic()

    def close(self) -> None:
        """Close the connection; the next cursor opens another."""
        with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _opened(self) -> BaseDatabaseWrapper:
        if self._connection is None:
            self._connection = connections[self._database].copy()
            self._connection.inc_thread_sharing()
        if time.monotonic() - self._used_at > CHECK_AFTER_SECONDS:
            self._connection.health_check_done = False
        return self._connection


@cache
def _shared(database: str) -> _Shared:
    return _Shared(database)


def close_shared() -> None:
    """Close the connections that gathered statements use; none may be running."""
    for database in connections:
        _shared(database).close()
