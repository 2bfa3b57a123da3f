"""The sandbox's money: a SQLite file of append-only movements, and the result under each key."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE results (
    idempotency_key TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    status INTEGER,
    body TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE movements (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('capture', 'refund')),
    reference TEXT NOT NULL UNIQUE,
    charge TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL,
    idempotency_key TEXT NOT NULL UNIQUE,
    order_id TEXT NOT NULL,
    token TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX movements_of_charge ON movements (charge);
CREATE TRIGGER movements_are_final_1 BEFORE UPDATE ON movements
BEGIN SELECT RAISE(ABORT, 'movements are append-only'); END;
CREATE TRIGGER movements_are_final_2 BEFORE DELETE ON movements
BEGIN SELECT RAISE(ABORT, 'movements are append-only'); END;
CREATE TRIGGER refunds_stay_within_their_capture BEFORE INSERT ON movements
WHEN NEW.kind = 'refund' AND NEW.amount > (
    SELECT coalesce(sum(CASE kind WHEN 'capture' THEN amount ELSE -amount END), 0)
    FROM movements WHERE charge = NEW.charge AND currency = NEW.currency)
BEGIN SELECT RAISE(ABORT, 'a refund above its capture'); END;
"""
_SELECT = (
    "SELECT sequence, kind, reference, charge, amount, currency, idempotency_key, order_id, token,"
    " reason, created_at FROM movements "
)


class LedgerUnavailable(Exception):
    """The ledger file can't be read or written now; what was answered before is safe."""


class LedgerUnusable(Exception):
    """The file is not a ledger of this version."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement; `sequence` counts from 1 without gaps, in commit order."""

    sequence: int
    kind: str
    reference: str
    charge: str
    amount: int
    currency: str
    idempotency_key: str
    order_id: str
    token: str
    reason: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Result:
    """What is known under a key; `status` is None while no result is stored."""

    fingerprint: str
    attempts: int
    status: int | None
    body: str | None


class Transaction:
    """Reads and writes of one transaction, which holds the write lock from its start."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def result(self, key: str) -> Result | None:
        row = self._connection.execute(
            "SELECT fingerprint, attempts, status, body FROM results WHERE idempotency_key = ?",
            (key,),
        ).fetchone()
        return Result(*row) if row else None

    def count_attempt(self, key: str, fingerprint: str) -> int:
        (attempts,) = self._connection.execute(
            "INSERT INTO results VALUES (?, ?, 1, NULL, NULL)"
            " ON CONFLICT DO UPDATE SET attempts = attempts + 1 RETURNING attempts",
            (key, fingerprint),
        ).fetchone()
        return int(attempts)

    def store_result(self, key: str, status: int, body: str) -> None:
        self._connection.execute(
            "UPDATE results SET status = ?, body = ? WHERE idempotency_key = ? AND status IS NULL",
            (status, body, key),
        )

    def append(self, entry: Entry) -> None:
        self._connection.execute(
            "INSERT INTO movements VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", astuple(entry)[1:]
        )

    def find(self, kind: str, reference: str) -> Entry | None:
        return self._one("WHERE reference = ? AND kind = ?", reference, kind)

    def find_by_key(self, kind: str, key: str) -> Entry | None:
        return self._one("WHERE idempotency_key = ? AND kind = ?", key, kind)

    def refunded(self, charge: str) -> int:
        (amount,) = self._connection.execute(
            "SELECT coalesce(sum(amount), 0) FROM movements WHERE charge = ? AND kind = 'refund'",
            (charge,),
        ).fetchone()
        return int(amount)

    def entries(self, after: int, limit: int) -> list[Entry]:
        rows = self._connection.execute(
            _SELECT + "WHERE sequence > ? ORDER BY sequence LIMIT ?", (after, limit)
        )
        return [Entry(*row) for row in rows]

    def totals(self) -> list[tuple[str, int, int]]:
        """(currency, captured, refunded) for each currency, by its code."""
        return self._connection.execute(
            "SELECT currency, sum(iif(kind = 'capture', amount, 0)),"
            " sum(iif(kind = 'refund', amount, 0))"
            " FROM movements GROUP BY currency ORDER BY currency"
        ).fetchall()

    def _one(self, condition: str, *values: str) -> Entry | None:
        row = self._connection.execute(_SELECT + condition, values).fetchone()
        return Entry(*row) if row else None


class Ledger:
    """The ledger file; threads share it, one transaction at a time.

    What has left `transaction()` without an error is on the disk (synchronous=FULL).
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._lock = threading.Lock()
        try:
            self._connection = _open(path)
        except sqlite3.Error as error:
            raise LedgerUnusable(str(error)) from error

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield Transaction(self._connection)
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                self._rollback()
                raise LedgerUnavailable(str(error)) from error
            except BaseException:
                self._rollback()
                raise

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _rollback(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:  # closed, or the file is gone: the next transaction will say so
            pass


def _open(path: str | os.PathLike[str]) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")  # two that start at once on a new file: one creates it
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise LedgerUnusable("it is a database of something else")
        for statement in _statements(_SCHEMA):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")
    if version not in (0, SCHEMA_VERSION):
        raise LedgerUnusable(f"its version is {version}, not {SCHEMA_VERSION}")
    return connection


def _statements(script: str) -> Iterator[str]:
    """The statements one by one: `executescript` would commit the transaction it runs in."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
