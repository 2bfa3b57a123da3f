"""The gateway's ledger against the log, both ways."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from eventstore.client import RetryLater, TransientError
from payments import connection, reconciliation, tasks
from payments.gateways.memory import InMemoryGateway
from payments.gateways.port import ChargeRequest, GatewayUnavailable, RefundRequest
from payments.handlers import IN_FLIGHT, refund_payment, take_payment
from payments.models import LedgerCursor, Payment, Refund
from payments.reconciliation import Reconciliation
from payments.tasks import LEDGER, reconcile
from tests import order_events
from tests.interruptions import DyingAfter, Killed

pytestmark = pytest.mark.django_db(databases=["payments"], transaction=True)

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = START + IN_FLIGHT + timedelta(seconds=1)


def at_start() -> datetime:
    return START


@pytest.fixture
def gateway() -> Iterator[InMemoryGateway]:
    gateway = InMemoryGateway(clock=at_start)
    connection.use(gateway)
    yield gateway
    connection.use(None)


def paid(store: Any, gateway: Any, amount: str = "25.50") -> str:
    created = order_events.place(store, amount=amount)
    take_payment(created, store=store, gateway=gateway, clock=at_start)
    return created.aggregate_id


def reconciled(store: Any, gateway: Any, now: datetime = LATER, **options: Any) -> list[str]:
    run = Reconciliation(
        store=store,
        gateway=gateway,
        since=START - timedelta(days=1),
        clock=lambda: now,
        **{"limit": 1000, **options},
    )
    return [difference.what for difference in run.differences()]


def test_money_that_both_sides_know_is_no_difference(memory_store, gateway) -> None:
    for _ in range(3):
        paid(memory_store, gateway)
    rejected = order_events.reject(memory_store, paid(memory_store, gateway))
    refund_payment(rejected, store=memory_store, gateway=gateway, clock=at_start)
    assert reconciled(memory_store, gateway) == []


def test_a_payment_that_hangs_is_finished(memory_store, gateway) -> None:
    created = order_events.place(memory_store)
    with pytest.raises(Killed):
        take_payment(
            created, store=memory_store, gateway=DyingAfter(gateway, "charge"), clock=at_start
        )
    assert reconciled(memory_store, gateway) == []
    assert order_events.types(memory_store, created.aggregate_id)[-1] == "order-payment-debited"


def test_a_payment_that_still_hangs_is_reported(memory_store, gateway) -> None:
    created = order_events.place(memory_store, amount="400.16")
    with pytest.raises(RetryLater):
        take_payment(created, store=memory_store, gateway=gateway, clock=at_start)
    (what,) = reconciled(memory_store, gateway)
    assert "is unsettled" in what


def test_a_capture_of_an_abandoned_payment_is_put_into_the_log_and_refunded(
    memory_store, gateway
) -> None:
    created = order_events.place(memory_store)
    with pytest.raises(Killed):
        take_payment(
            created, store=memory_store, gateway=DyingAfter(gateway, "charge"), clock=at_start
        )
    order_events.reject(memory_store, created.aggregate_id)
    Payment.objects.update(state=Payment.State.ABANDONED)

    (what,) = reconciled(memory_store, gateway)
    assert what.endswith("is not in its log; it is now")
    assert order_events.types(memory_store, created.aggregate_id)[2:] == [
        "order-payment-debited",
        "order-payment-refunded",
    ]
    assert reconciled(memory_store, gateway, LATER + IN_FLIGHT) == []


def test_movements_that_nobody_here_asked_for_are_reported(memory_store, gateway) -> None:
    order_id = paid(memory_store, gateway)
    for key, order in (("foreign", "no-such-order"), ("twice", order_id), ("bare", "")):
        gateway.charge(
            ChargeRequest(idempotency_key=key, order_id=order, amount_minor=100, currency="EUR")
        )
    gateway.refund(
        RefundRequest(
            idempotency_key="by-hand",
            charge_reference=gateway.captures[0].reference,
            amount_minor=1,
            currency="EUR",
        )
    )
    assert [what.split(" ")[0] for what in reconciled(memory_store, gateway)] == [
        "capture",
        "capture",
        "capture",
        "refund",
    ]


def test_money_on_record_that_the_gateway_does_not_have_is_reported(memory_store, gateway) -> None:
    rejected = order_events.reject(memory_store, paid(memory_store, gateway))
    refund_payment(rejected, store=memory_store, gateway=gateway, clock=at_start)
    empty = InMemoryGateway(clock=at_start)
    payment, refund = reconciled(memory_store, empty)
    assert payment == f"payment {Payment.objects.get().pk} is debited here, not at the gateway"
    assert refund == f"refund {Refund.objects.get().pk} is made here, not at the gateway"


def test_movements_that_may_be_half_done_are_left_alone(memory_store, gateway) -> None:
    created = order_events.place(memory_store)
    with pytest.raises(Killed):
        take_payment(
            created, store=memory_store, gateway=DyingAfter(gateway, "charge"), clock=at_start
        )
    assert reconciled(memory_store, gateway, now=START + timedelta(seconds=1)) == []
    assert order_events.types(memory_store, created.aggregate_id) == ["order-created"]


def test_a_run_is_bounded_and_the_next_one_goes_on_where_it_ended(memory_store, gateway) -> None:
    for number in range(3):
        gateway.charge(
            ChargeRequest(
                idempotency_key=f"foreign-{number}", order_id="", amount_minor=1, currency="EUR"
            )
        )
    assert len(reconciled(memory_store, gateway, limit=2)) == 2
    assert len(reconciled(memory_store, gateway, cursor="2")) == 1


def test_a_gateway_that_is_away_ends_the_run(memory_store) -> None:
    class Away(InMemoryGateway):
        def list_movements(self, after=None, limit=100):
            raise GatewayUnavailable("connection refused")

    with pytest.raises(TransientError):
        reconciled(memory_store, Away())


def test_the_command_fails_if_and_only_if_something_differs(memory_store, gateway) -> None:
    out = StringIO()
    paid(memory_store, gateway)
    call_command("reconcile", stdout=out, skip_checks=True)
    assert "agree" in out.getvalue()

    gateway.charge(
        ChargeRequest(idempotency_key="foreign", order_id="x", amount_minor=1, currency="EUR")
    )
    with pytest.raises(CommandError, match="1 difference"):
        call_command("reconcile", stdout=out, skip_checks=True)
    assert "order x: capture" in out.getvalue()


@pytest.mark.parametrize("options", [{"limit": 0}, {"hours": -1}])
def test_the_command_refuses_senseless_bounds(memory_store, gateway, options) -> None:
    with pytest.raises(CommandError) as refusal:
        call_command("reconcile", skip_checks=True, **options)
    assert refusal.value.returncode == 2


def test_the_command_refuses_a_forged_cursor(memory_store, gateway) -> None:
    with pytest.raises(CommandError, match="cursor"):
        call_command("reconcile", skip_checks=True, after="'; --")


def test_the_scheduled_run_goes_on_where_the_last_one_ended(memory_store, gateway) -> None:
    for _ in range(3):
        paid(memory_store, gateway)
    reconcile()
    row = LedgerCursor.objects.get(pk=LEDGER)
    assert row.cursor == gateway.captures[-1].cursor
    reconcile()
    assert LedgerCursor.objects.get(pk=LEDGER).cursor == row.cursor


def hanging(store: Any, gateway: Any, minutes: int) -> str:
    """An order whose payment was to be asked for so long after START; the worker died first."""
    created = order_events.place(store)
    with pytest.raises(Killed):
        take_payment(
            created,
            store=store,
            gateway=DyingAfter(gateway, "charge", before=True),
            clock=lambda: START + timedelta(minutes=minutes),
        )
    return created.aggregate_id


def test_payments_that_can_never_be_finished_keep_no_other_from_its_turn(
    memory_store, gateway, monkeypatch
) -> None:
    monkeypatch.setattr(tasks, "MOVEMENTS_PER_RUN", 2)
    for minutes in range(5):
        Payment.objects.filter(order_id=hanging(memory_store, gateway, minutes)).update(
            order_id=f"lost-{minutes}"
        )
    last = hanging(memory_store, gateway, 9)
    for _ in range(2):
        reconcile()
        assert order_events.types(memory_store, last) == ["order-created"]
    reconcile()
    assert order_events.types(memory_store, last)[-1] == "order-payment-debited"


def test_what_hangs_is_looked_at_again_once_all_had_their_turn(
    memory_store, gateway, monkeypatch
) -> None:
    monkeypatch.setattr(tasks, "MOVEMENTS_PER_RUN", 2)
    orders = [hanging(memory_store, gateway, minutes) for minutes in range(3)]
    payments = [Payment.objects.get(order_id=order_id) for order_id in orders]
    Payment.objects.update(order_id="lost")
    for _ in range(2):
        reconcile()
    for payment in payments:
        payment.save()
    for _ in range(2):
        reconcile()
    assert all(len(order_events.types(memory_store, order_id)) == 2 for order_id in orders)


def test_a_run_of_many_pages_sees_each_payment_once(memory_store, gateway, monkeypatch) -> None:
    monkeypatch.setattr(reconciliation, "PAGE", 2)
    for _ in range(5):
        hanging(memory_store, gateway, 0)
    Payment.objects.update(order_id="lost")
    assert len(reconciled(memory_store, InMemoryGateway(clock=at_start))) == 5


def test_the_task_waits_for_its_database(
    memory_store: Any, gateway: Any, monkeypatch, caplog
) -> None:
    database = connections["payments"]
    database.close()
    with monkeypatch.context() as away:
        away.setitem(database.settings_dict, "HOST", "/nowhere")
        reconcile()
    assert "reconciliation waits: OperationalError" in caplog.text
    reconcile()
    assert LedgerCursor.objects.filter(pk=LEDGER).exists()
