"""The sandbox's ledger refuses what would falsify money, whoever writes to it."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from payments.gateways.sandbox.ledger import Entry, Ledger, LedgerUnavailable, LedgerUnusable

CAPTURE = Entry(
    sequence=0,
    kind="capture",
    reference="ch_1",
    charge="ch_1",
    amount=100,
    currency="EUR",
    idempotency_key="k",
    order_id="o",
    token="",
    reason="",
    created_at="2026-01-02T03:04:05+00:00",
)
REFUND = replace(CAPTURE, kind="refund", reference="re_1", idempotency_key="r")


def append(ledger: Ledger, *entries: Entry) -> None:
    with ledger.transaction() as transaction:
        for entry in entries:
            transaction.append(entry)


def entries(ledger: Ledger) -> list[Entry]:
    with ledger.transaction() as transaction:
        return transaction.entries(0, 100)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


def test_entries_are_numbered_without_gaps_although_transactions_fail(path: Path) -> None:
    ledger = Ledger(path)
    append(ledger, CAPTURE)
    with pytest.raises(ZeroDivisionError), ledger.transaction() as transaction:
        transaction.append(REFUND)
        raise ZeroDivisionError
    append(ledger, REFUND)
    assert entries(ledger) == [replace(CAPTURE, sequence=1), replace(REFUND, sequence=2)]


@pytest.mark.parametrize(
    "entry",
    [
        replace(CAPTURE, reference="ch_2", charge="ch_2"),  # the key again
        replace(CAPTURE, idempotency_key="k2"),  # the reference again
        replace(REFUND, amount=101),
        replace(REFUND, amount=0),
        replace(REFUND, amount=-5),
        replace(REFUND, currency="USD"),
        replace(REFUND, charge="ch_unknown"),
        replace(REFUND, kind="gift"),
    ],
)
def test_a_false_entry_is_refused_with_its_whole_transaction(path: Path, entry: Entry) -> None:
    ledger = Ledger(path)
    append(ledger, CAPTURE)
    with pytest.raises(LedgerUnavailable):
        append(ledger, replace(REFUND, amount=1, reference="re_0", idempotency_key="r0"), entry)
    assert entries(ledger) == [replace(CAPTURE, sequence=1)]


def test_refunds_together_stay_within_their_capture(path: Path) -> None:
    ledger = Ledger(path)
    append(ledger, CAPTURE, replace(REFUND, amount=60))
    with pytest.raises(LedgerUnavailable):
        append(ledger, replace(REFUND, amount=41, reference="re_2", idempotency_key="r2"))
    append(ledger, replace(REFUND, amount=40, reference="re_2", idempotency_key="r2"))


@pytest.mark.parametrize("statement", ["UPDATE movements SET amount = 1", "DELETE FROM movements"])
def test_a_movement_is_final(path: Path, statement: str) -> None:
    ledger = Ledger(path)
    append(ledger, CAPTURE)
    ledger.close()
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()


def test_attempts_are_counted_and_the_first_result_stays(path: Path) -> None:
    ledger = Ledger(path)
    with ledger.transaction() as transaction:
        assert [transaction.count_attempt("k", "print") for _ in range(2)] == [1, 2]
        transaction.store_result("k", 402, "first")
        transaction.store_result("k", 200, "second")
        result = transaction.result("k")
    assert result is not None
    assert (result.status, result.body) == (402, "first")


def test_a_closed_ledger_is_unavailable(path: Path) -> None:
    ledger = Ledger(path)
    ledger.close()
    with pytest.raises(LedgerUnavailable):
        entries(ledger)


def test_a_ledger_of_another_version_is_refused(path: Path) -> None:
    Ledger(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LedgerUnusable, match="99"):
        Ledger(path)
