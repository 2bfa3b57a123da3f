"""Statements that threads share: each caller gets its own outcome, and none suffers for another."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import DataError, IntegrityError, OperationalError, connections, transaction
from django.db.backends.utils import CursorWrapper

from orders_site import gathering
from orders_site.gathering import Gathered, Upsert
from orders_site.transactions import committed
from payments.models import Payment, Refund
from restaurant.models import Ticket
from tests.integration.desks import conflict
from tests.together import eventually, together

pytestmark = pytest.mark.django_db(databases=["payments", "restaurant"], transaction=True)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FOLLOW = {"changes": ("state", "version"), "when": "stored.version < excluded.version"}


def payment(id_: UUID | None = None, **fields: Any) -> Payment:
    defaults = {"order_id": "o", "amount_minor": 100, "currency": "EUR", "provider": "sandbox"}
    times = {"asked_at": NOW, "created_at": NOW, "updated_at": NOW}
    return Payment(id=id_ or uuid4(), **{**defaults, **times, **fields})


def upsert(**options: Any) -> Upsert[Payment]:
    return Upsert(Payment, "payments", **{**FOLLOW, **options})


class HeldUp:
    """Holds the next statement up until `release` is set, so that those behind it gather."""

    def __init__(self, gathered: Gathered[Any, Any]) -> None:
        self.begun, self.release = threading.Event(), threading.Event()
        work = gathered._work

        def slow(cursor: CursorWrapper, items: Sequence[Any]) -> Sequence[Any]:
            gathered._work = work
            self.begun.set()
            assert self.release.wait(20)
            return work(cursor, items)

        gathered._work = slow


def gathered_writes(writer: Upsert[Payment], rows: Sequence[Payment]) -> list[Any]:
    """What becomes of the rows, all written in one statement; errors as values."""
    first = HeldUp(writer._gathered)

    def write(row: Payment) -> Any:
        assert first.begun.wait(20)
        try:
            return writer.write(row)
        except Exception as error:
            return error

    def release() -> None:
        eventually(lambda: writer._gathered._batcher._waiting == len(rows))
        first.release.set()

    _, _, *outcomes = together(
        [partial(writer.write, payment()), release, *(partial(write, row) for row in rows)]
    )
    return outcomes


def test_a_new_row_is_inserted_whole_and_a_known_one_changed_where_it_may_be() -> None:
    writer, id_ = upsert(), uuid4()
    assert writer.write(payment(id_, state="requested", version=1))
    assert writer.write(payment(id_, state="debited", version=3, amount_minor=999))
    assert not writer.write(payment(id_, state="failed", version=2))
    row = Payment.objects.get()
    assert (row.state, row.version, row.amount_minor) == ("debited", 3, 100)
    assert row.created_at == NOW


def test_what_the_row_has_already_is_read_back() -> None:
    writer, id_ = upsert(changes=("asked_at",), when="true", returning=("amount_minor",)), uuid4()
    writer.write(payment(id_))
    again = payment(id_, amount_minor=999)
    assert writer.write(again)
    assert again.amount_minor == 100


def test_rows_of_many_threads_are_one_statement_with_an_outcome_for_each() -> None:
    writer, known = upsert(), payment(state="debited", version=5)
    writer.write(known)
    statements = []
    run = writer._gathered._work

    def counting(cursor: CursorWrapper, items: Sequence[Any]) -> Sequence[Any]:
        statements.append(len(items))
        return run(cursor, items)

    writer._gathered._work = counting
    rows = [payment(version=1) for _ in range(6)]
    late = payment(known.pk, state="failed", version=4)
    assert gathered_writes(writer, [*rows, late]) == [True] * 6 + [False]
    assert sorted(statements) == [1, 7]
    assert Payment.objects.count() == 8
    assert Payment.objects.get(pk=known.pk).state == "debited"


def test_a_row_that_comes_twice_at_once_ends_at_its_newest() -> None:
    writer, id_ = upsert(), uuid4()
    versions = [3, 1, 5, 2, 4]
    gathered_writes(writer, [payment(id_, version=version) for version in versions])
    assert Payment.objects.get(pk=id_).version == 5


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"order_id": "nul\x00"}, DataError),
        ({"order_id": "half \ud800"}, UnicodeEncodeError),
        ({"currency": "EURO"}, DataError),
        ({"currency": None}, IntegrityError),
    ],
)
def test_a_row_that_the_database_refuses_fails_alone(
    bad: dict[str, Any], error: type[Exception]
) -> None:
    writer = upsert()
    rows = [payment() for _ in range(3)]
    outcomes = gathered_writes(writer, [rows[0], payment(**bad), *rows[1:]])
    assert isinstance(outcomes.pop(1), error)
    assert outcomes == [True, True, True]
    assert Payment.objects.filter(pk__in=[row.pk for row in rows]).count() == 3


def test_a_child_without_its_parent_is_refused() -> None:
    writer = Upsert(Refund, "payments", changes=("state",))
    times = {"asked_at": NOW, "created_at": NOW, "updated_at": NOW}
    orphan = Refund(
        id=uuid4(), payment_id=uuid4(), order_id="o", amount_minor=1, currency="EUR", **times
    )
    with pytest.raises(IntegrityError):
        writer.write(orphan)


def test_within_a_transaction_a_row_is_part_of_it_whoever_writes_at_that_moment() -> None:
    writer = upsert()
    other = HeldUp(writer._gathered)

    def rolled_back() -> None:
        assert other.begun.wait(20)
        try:
            with pytest.raises(ZeroDivisionError), transaction.atomic(using="payments"):
                assert writer.write(payment())
                raise ZeroDivisionError
        finally:
            other.release.set()

    together([partial(writer.write, payment()), rolled_back])
    assert Payment.objects.count() == 1


def test_a_database_that_is_away_is_everybodys_outage_and_then_forgotten() -> None:
    writer = upsert()
    writer.write(payment())
    parameters = connections["payments"].settings_dict
    host = parameters["HOST"]
    gathering.close_shared()
    parameters["HOST"] = "/nowhere"
    try:
        for _ in range(2):
            with pytest.raises(OperationalError):
                writer.write(payment())
    finally:
        parameters["HOST"] = host
    gathering.close_shared()
    assert writer.write(payment())


def sessions(query: str) -> int:
    """What a query says of the sessions that the statements of this context run in."""
    with connections["payments"].cursor() as cursor:
        cursor.execute(
            f"SELECT count({query}) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])


def test_threads_share_one_session_however_many_they_are() -> None:
    writer, other = upsert(), Upsert(Payment, "payments", **FOLLOW)
    together([partial(each.write, payment()) for each in (writer, other) for _ in range(8)])
    assert Payment.objects.count() == 16
    assert sessions("*") == 1


@pytest.mark.parametrize("idle_seconds", [0, gathering.CHECK_AFTER_SECONDS])
def test_a_session_that_was_ended_is_replaced(
    idle_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = upsert()
    writer.write(payment())
    assert sessions("pg_terminate_backend(pid, 5000)") == 1
    if idle_seconds:
        monkeypatch.setattr(gathering, "CHECK_AFTER_SECONDS", 0)
    else:
        with pytest.raises(OperationalError):
            writer.write(payment())
    assert writer.write(payment())


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_what_another_transaction_was_in_the_way_of_is_run_again(state: str) -> None:
    writer = upsert()
    run, failures = writer._gathered._work, [conflict(state), conflict(state)]

    def in_the_way(cursor: CursorWrapper, items: Sequence[Any]) -> Sequence[Any]:
        if failures:
            raise failures.pop()
        return run(cursor, items)

    writer._gathered._work = in_the_way
    assert writer.write(payment())
    assert Payment.objects.count() == 1
    failures.append(conflict(state))

    def work() -> None:
        payment().save(force_insert=True)
        if failures:
            raise failures.pop()

    committed("payments", work)
    assert Payment.objects.count() == 2


def test_json_and_absent_times_are_stored_as_they_are() -> None:
    writer = Upsert(Ticket, "restaurant", changes=("version",))
    assert "jsonb[]" not in writer._sql, "CockroachDB has no arrays of JSON"
    items = [{"code": "M1", "name": "Margherita é \u2028", "quantity": 2}]
    for ready_at in (None, NOW):
        ticket = Ticket(
            id=uuid4(),
            order_id=str(uuid4()),
            restaurant_id="r",
            items=items,
            amount_minor=1,
            currency="EUR",
            ready_at=ready_at,
        )
        assert writer.write(ticket)
        stored = Ticket.objects.get(pk=ticket.pk)
        assert (stored.items, stored.ready_at) == (items, ready_at)
