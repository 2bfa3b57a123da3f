"""Runs the log's statements against a database that may abort, vanish or stand still."""

import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar, assert_never
from weakref import WeakSet

import psycopg
from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.transaction import atomic

from eventstore.client.errors import Unavailable
from eventstore.faults import NOT_MIGRATED, Verdict, sqlstate, verdict

ATTEMPTS = 10
LOSSES = 3
FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.5
SECONDS_BETWEEN_LOG_LINES = 60.0
# Of the database, in one call; the longest wait for a lock is below it.
LONGEST_SILENCE_SECONDS = 10.0

logger = logging.getLogger(__name__)
T = TypeVar("T")


class LogDatabase:
    """The database of the log, by its Django alias; each thread has a connection of its own."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._quiet_until: dict[str, float] = {}
        self._opened: WeakSet[BaseDatabaseWrapper] = WeakSet()
        # By thread: when its call began, and on what connection.
        self._running: dict[int, tuple[float, BaseDatabaseWrapper]] = {}

    def cut_silent(self, seconds: float) -> None:
        """Break the connections of calls that have had no answer for so long.

        The database limits its own statements, and the kernel notices a dead network; but a pooler
        that lives and says nothing would hold a stream's committer up for ever.
        """
        now = time.monotonic()
        for began, connection in list(self._running.values()):
            if now - began > seconds:
                logger.warning("database %s: no answer for %d s", self.alias, now - began)
                _shut_down(connection)

    def close(self) -> None:
        """Close every thread's connection; none may be in use. A later call opens a new one."""
        for connection in list(self._opened):
            connection.inc_thread_sharing()
            try:
                connection.close()
            finally:
                connection.dec_thread_sharing()

    def close_own(self) -> None:
        """Close the calling thread's connection; for the end of a thread."""
        connections[self.alias].close()

    def read(self, work: Callable[[CursorWrapper], T]) -> T:
        """The result of one statement.

        Raises:
            Unavailable: the database is away, or aborts it over and over.
        """

        def once(connection: BaseDatabaseWrapper) -> T:
            with self._limited(connection), _cursor(connection) as cursor:
                return work(cursor)

        return self._run(once)

    def commit(self, work: Callable[[CursorWrapper], T]) -> T:
        """The result of `work`, run in one transaction that is committed when this returns.

        `work` is run again, whole, when the database aborted it, and also when the connection was
        lost at COMMIT, so that nobody knows whether it took effect. So it must begin with a lock
        that makes it wait for the end of its first run, and see then what that run did.

        Raises:
            Unavailable: the database is away, or aborts it over and over.
        """

        def once(connection: BaseDatabaseWrapper) -> T:
            with (
                self._limited(connection),
                atomic(using=self.alias, durable=True),
                _cursor(connection) as cursor,
            ):
                return work(cursor)

        return self._run(once)

    def try_once(self, work: Callable[[CursorWrapper], T]) -> T | None:
        """The result of one statement; None if it failed, or if nobody knows.

        What decides then must begin with a lock, as in `commit`.

        Raises:
            Unavailable: the database is away.
        """
        connection = connections[self.alias]
        self._connect(connection)
        try:
            with self._limited(connection), _cursor(connection) as cursor:
                return work(cursor)
        except Error as error:
            if verdict(error) is Verdict.FAULT:
                self._say(error)
            else:
                self._may_run_again(connection, error)
            return None

    def _run(self, once: Callable[[BaseDatabaseWrapper], T]) -> T:
        connection = connections[self.alias]
        losses = 0
        for attempt in range(1, ATTEMPTS + 1):
            self._connect(connection)
            try:
                return once(connection)
            except Error as error:
                losses += self._may_run_again(connection, error)
                if losses == LOSSES:
                    raise Unavailable from error
            _pause(attempt)
        raise Unavailable

    @contextmanager
    def _limited(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        """Have `cut_silent` see the call."""
        thread = threading.get_ident()
        self._running[thread] = (time.monotonic(), connection)
        try:
            yield
        finally:
            del self._running[thread]

    def _connect(self, connection: BaseDatabaseWrapper) -> None:
        if connection.connection is not None:
            return
        self._opened.add(connection)
        try:
            connection.ensure_connection()
        except Error as error:
            self._say(error)
            raise Unavailable from error

    def _may_run_again(self, connection: BaseDatabaseWrapper, error: Error) -> bool:
        """Whether the connection was lost; raises if another run would be pointless."""
        judged = verdict(error)
        match judged:
            case Verdict.RERUN:
                return False
            case Verdict.LOST:
                self._say(error)
                connection.close()
                return True
            case Verdict.AWAY:
                self._say(error)
                raise Unavailable from error
            case Verdict.FAULT:
                raise error
            case _:
                assert_never(judged)

    def _say(self, error: Error) -> None:
        """One line a minute for each kind of error, however many calls fail meanwhile."""
        state = sqlstate(error) or "no SQLSTATE"
        now = time.monotonic()
        if now < self._quiet_until.get(state, 0.0):
            return
        self._quiet_until[state] = now + SECONDS_BETWEEN_LOG_LINES
        text = str(error).strip().partition("\n")[0]
        hint = "; is it migrated?" if state in NOT_MIGRATED else ""
        logger.warning("database %s: %s (%s)%s", self.alias, text, state, hint)


def _cursor(connection: BaseDatabaseWrapper) -> CursorWrapper:
    """A cursor whose rows come in binary: text costs the reader more."""
    cursor: CursorWrapper = connection.cursor()
    cursor.cursor.format = psycopg.pq.Format.BINARY
    return cursor


def _shut_down(connection: BaseDatabaseWrapper) -> None:
    """End the conversation from outside: the thread that waits for an answer gets an error."""
    with (
        suppress(OSError, AttributeError, psycopg.Error),
        socket.socket(fileno=os.dup(connection.connection.fileno())) as twin,
    ):
        twin.shutdown(socket.SHUT_RDWR)


def _pause(attempt: int) -> None:
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**attempt)
    time.sleep(random.uniform(0, longest))  # noqa: S311 - jitter, not a secret
