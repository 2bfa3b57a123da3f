"""The saga on real rows: reactions in any order and number, sweeps over what is overdue."""

import threading
from datetime import UTC, datetime, timedelta
from io import StringIO
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from eventstore.client import NewEvent, Unavailable, metadata_for, reaction_id
from eventstore.client.connection import use
from eventstore.client.memory import InMemoryEventStore
from orders_site.money import Money
from orders_site.ordering import sweep as sweeping
from orders_site.ordering.details import OrderDetails, OrderItem
from orders_site.ordering.handlers import REACTIONS, Caller, cancel_order, place_order
from orders_site.ordering.models import OrderSaga
from orders_site.ordering.saga_rows import RememberedLogId
from orders_site.ordering.sweep import sweep
from orders_site.ordering.tasks import sweep_overdue

pytestmark = pytest.mark.django_db

CLIENT = UUID("6f1d3a52-9a0e-4c0f-8f43-0f6f7d0b7a11")
OWNER = Caller(f"api-client:{CLIENT}", CLIENT)
ITEM = OrderItem("margherita", "Pizza", Money(2500, "EUR"), 1)
DETAILS = OrderDetails("customer-1", "trattoria", "EUR", (ITEM,))
MONEY = '{"amount": "25.00", "currency": "EUR"}'
DEBITED, REFUNDED = ("order-payment-debited", MONEY), ("order-payment-refunded", MONEY)
FAILED = ("order-payment-failed", '{"reason": "no funds"}')
APPROVED = ("order-approved", "{}")


@pytest.fixture
def store():
    return InMemoryEventStore()


def placed(store):
    order = place_order(DETAILS, store=store, client_id=CLIENT, now=datetime.now(UTC))
    return order.placed.order_id


def happen(store, order_id, event_type, data):
    event = NewEvent(
        event_id=uuid4(),
        event_type=event_type,
        aggregate_id=order_id,
        aggregate_type="order",
        data=data,
        metadata=metadata_for(actor="test", cause=store.read_aggregate(order_id)[0]),
    )
    store.append([event])


def notice(store, event):
    if reaction := REACTIONS.get(event.event_type):
        reaction(event, store=store)


def deliver(store, from_position=1):
    """Notices of all events, also of those that reactions append."""
    for event in store.read_stream(from_position):
        notice(store, event)


def types(store):
    return [event.event_type for event in store.read_stream()]


def in_(seconds):
    return lambda: timezone.now() + timedelta(seconds=seconds)


PAYMENT_OVER = in_(settings.PAYMENT_DEADLINE_SECONDS + 1)
ALL_OVER = in_(settings.APPROVAL_DEADLINE_SECONDS + settings.REFUND_DEADLINE_SECONDS + 1)


# -- Reactions


def test_a_new_order_waits_for_its_payment(store):
    order_id = placed(store)
    deliver(store)
    row = OrderSaga.objects.get()
    (event,) = store.read_stream()
    assert (row.order_id, row.state, row.version) == (order_id, "awaiting-payment", 1)
    assert row.log_id == store.head().log_id
    assert row.deadline == event.recorded_at + timedelta(seconds=settings.PAYMENT_DEADLINE_SECONDS)


def test_an_approved_order_is_completed(store):
    order_id = placed(store)
    happen(store, order_id, *DEBITED)
    happen(store, order_id, *APPROVED)
    deliver(store)
    row = OrderSaga.objects.get()
    assert (row.state, row.order_status, row.deadline) == ("completed", "approved", None)


def test_a_failed_payment_rejects_the_order_once_however_often_it_is_told(store):
    order_id = placed(store)
    happen(store, order_id, *FAILED)
    for _ in range(3):
        deliver(store)
    assert types(store) == ["order-created", "order-payment-failed", "order-rejected"]
    failed, rejected = store.read_aggregate(order_id)[1:]
    assert rejected.payload == {"reason": "payment-failed"}
    assert rejected.event_id == reaction_id(failed.event_id, "ordering.reject_order")
    assert rejected.context["causation_id"] == str(failed.event_id)
    assert (
        rejected.context["correlation_id"]
        == store.read_aggregate(order_id)[0].context["correlation_id"]
    )
    assert OrderSaga.objects.get().state == "closed"


def test_notices_in_reverse_order_make_the_same_row(store):
    order_id = placed(store)
    happen(store, order_id, *DEBITED)
    cancel_order(order_id, "", store=store, caller=OWNER)
    happen(store, order_id, *REFUNDED)
    for event in reversed(list(store.read_stream())):
        notice(store, event)
    row = OrderSaga.objects.get()
    assert (row.state, row.order_status, row.version) == ("closed", "cancelled", 4)


def test_a_notice_behind_which_a_later_one_waits_leaves_the_row_to_that(store):
    order_id = placed(store)
    happen(store, order_id, *DEBITED)
    happen(store, order_id, *APPROVED)
    happen(store, order_id, "order-shipped", "{}")
    created, debited, approved, _ = store.read_aggregate(order_id)
    notice(store, created)
    notice(store, debited)
    assert not OrderSaga.objects.exists()
    notice(store, approved)
    row = OrderSaga.objects.get()
    assert (row.state, row.order_status, row.version) == ("completed", "shipped", 4)


def test_the_log_s_id_is_asked_for_now_and_then_only(store, monkeypatch):
    asked = []
    head = store.head
    monkeypatch.setattr(store, "head", lambda: asked.append(1) or head())
    log_id = RememberedLogId(store)
    assert {log_id(), log_id()} == {head().log_id}
    assert len(asked) == 1
    log_id.SECONDS = -1.0
    log_id._known = None
    log_id(), log_id()
    assert len(asked) == 3


def test_a_row_never_goes_back(store):
    order_id = placed(store)
    deliver(store)
    OrderSaga.objects.update(version=7, state="completed")
    deliver(store)
    assert OrderSaga.objects.get(order_id=order_id).state == "completed"


def test_an_event_of_another_kind_of_aggregate_is_not_an_orders(store):
    event = NewEvent(
        event_id=uuid4(),
        event_type="order-created",
        aggregate_id="x",
        aggregate_type="parcel",
        data="{}",
    )
    store.append([event])
    deliver(store)
    assert not OrderSaga.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_agree_on_the_newest_row(store):
    order_id = placed(store)
    happen(store, order_id, *DEBITED)
    happen(store, order_id, *APPROVED)
    events = list(store.read_stream())
    start = threading.Barrier(len(events) * 2, timeout=20)
    errors = []

    def work(event):
        try:
            start.wait()
            notice(store, event)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(event,)) for event in events * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert errors == []
    assert OrderSaga.objects.get().version == 3


# -- Sweeps


def test_a_payment_that_never_comes_rejects_the_order(store):
    order_id = placed(store)
    deliver(store)
    assert sweep(store, clock=PAYMENT_OVER).done == 1
    created, rejected = store.read_aggregate(order_id)
    assert rejected.event_id == reaction_id(created.event_id, "ordering.timeout.awaiting-payment")
    assert (rejected.event_type, rejected.payload) == (
        "order-rejected",
        {"reason": "payment-timeout"},
    )
    row = OrderSaga.objects.get()
    assert (row.state, row.reason, row.deadline) == ("closed", "payment-timeout", None)


def test_before_the_deadline_nothing_happens(store):
    placed(store)
    deliver(store)
    assert sweep(store, clock=in_(settings.PAYMENT_DEADLINE_SECONDS - 5)).done == 0
    assert types(store) == ["order-created"]


def test_a_restaurant_that_never_answers_rejects_the_order_and_then_awaits_the_refund(
    store, settings
):
    settings.APPROVAL_DEADLINE_SECONDS = 0
    order_id = placed(store)
    happen(store, order_id, *DEBITED)
    deliver(store)
    sweep(store)
    rejected = store.read_aggregate(order_id)[-1]
    assert rejected.payload == {"reason": "approval-timeout"}
    row = OrderSaga.objects.get()
    assert row.state == "awaiting-refund"
    assert row.deadline == rejected.recorded_at + timedelta(
        seconds=settings.REFUND_DEADLINE_SECONDS
    )


def test_an_order_that_was_approved_before_the_row_knew_is_left_alone(store):
    order_id = placed(store)
    happen(store, order_id, *DEBITED)
    deliver(store)
    happen(store, order_id, *APPROVED)
    sweep(store, clock=ALL_OVER)
    assert types(store)[-1] == "order-approved"
    assert OrderSaga.objects.get().state == "completed"


class ApprovesMeanwhile(InMemoryEventStore):
    """The restaurant approves between the sweep's read and its append."""

    armed = False

    def append(self, events, expected_version=None):
        if self.armed:
            self.armed = False
            happen(self, events[0].aggregate_id, *APPROVED)
        return super().append(events, expected_version)


def test_an_approval_that_is_faster_wins_against_the_timeout():
    store = ApprovesMeanwhile()
    order_id = placed(store)
    happen(store, order_id, *DEBITED)
    deliver(store)
    store.armed = True
    sweep(store, clock=in_(settings.APPROVAL_DEADLINE_SECONDS + 1))
    assert types(store) == ["order-created", "order-payment-debited", "order-approved"]
    assert OrderSaga.objects.get().state == "completed"


def test_a_refund_that_never_comes_raises_an_alarm_until_it_comes(store):
    order_id = placed(store)
    happen(store, order_id, *DEBITED)
    cancel_order(order_id, "", store=store, caller=OWNER)
    deliver(store)
    sweep(store, clock=ALL_OVER)
    row = OrderSaga.objects.get()
    assert row.state == "awaiting-refund"
    assert "refund was due" in row.alarm
    assert sweep(store, clock=ALL_OVER).done == 0, "an alarm is not due again"
    happen(store, order_id, *REFUNDED)
    deliver(store)
    row.refresh_from_db()
    assert (row.state, row.alarm) == ("closed", "")


def test_a_debit_after_the_rejection_awaits_its_refund(store):
    order_id = placed(store)
    deliver(store)
    sweep(store, clock=PAYMENT_OVER)
    happen(store, order_id, *DEBITED)
    deliver(store)
    row = OrderSaga.objects.get()
    assert (row.state, row.order_status) == ("awaiting-refund", "rejected")
    assert row.deadline is not None


def test_a_rejection_that_got_lost_is_made_up_for_with_the_true_reason(store):
    order_id = placed(store)
    deliver(store)
    happen(store, order_id, *FAILED)
    sweep(store, clock=ALL_OVER)
    assert store.read_aggregate(order_id)[-1].payload == {"reason": "payment-failed"}


def test_sweeping_again_rejects_nothing_twice(store):
    placed(store)
    deliver(store)
    for _ in range(3):
        OrderSaga.objects.update(deadline=timezone.now(), version=0)
        sweep(store, clock=PAYMENT_OVER)
    assert types(store) == ["order-created", "order-rejected"]


def test_more_than_a_batch_is_swept_in_one_go(store, monkeypatch):
    monkeypatch.setattr(sweeping, "BATCH", 3)
    for _ in range(8):
        placed(store)
    deliver(store)
    assert sweep(store, clock=PAYMENT_OVER).done == 8
    assert types(store).count("order-rejected") == 8


class FailsFor(InMemoryEventStore):
    """Can't append to one aggregate, for a reason that is not an outage."""

    victim = ""

    def append(self, events, expected_version=None):
        if events[0].aggregate_id == self.victim:
            raise RuntimeError("broken")
        return super().append(events, expected_version)


def test_one_order_that_fails_does_not_stop_the_others_and_comes_again(monkeypatch):
    monkeypatch.setattr(sweeping, "BATCH", 1)
    store = FailsFor()
    ids = [placed(store) for _ in range(3)]
    deliver(store)
    store.victim = ids[0]
    swept = sweep(store, clock=PAYMENT_OVER)
    assert (swept.done, swept.failed) == (2, 1)
    store.victim = ""
    assert sweep(store, clock=PAYMENT_OVER).done == 0, "not before its lease is over"
    later = in_(settings.PAYMENT_DEADLINE_SECONDS + 2 + sweeping.LEASE.total_seconds())
    assert sweep(store, clock=later).done == 1
    assert store.read_aggregate(ids[0])[-1].event_type == "order-rejected"


class GoesAway(InMemoryEventStore):
    away = False

    def read_aggregate(self, aggregate_id, from_version=1):
        if self.away:
            raise Unavailable
        return super().read_aggregate(aggregate_id, from_version)


def test_while_the_store_is_away_the_sweep_stops_and_a_later_one_goes_on(caplog):
    store = GoesAway()
    placed(store)
    deliver(store)
    store.away = True
    assert sweep(store, clock=PAYMENT_OVER).stopped_by == "Unavailable"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    store.away = False
    later = in_(settings.PAYMENT_DEADLINE_SECONDS + 2 + sweeping.LEASE.total_seconds())
    assert sweep(store, clock=later).done == 1


@pytest.mark.django_db(transaction=True)
def test_sweeps_at_once_share_the_work(store):
    for _ in range(20):
        placed(store)
    deliver(store)
    results = []

    def work():
        try:
            results.append(sweep(store, clock=PAYMENT_OVER))
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sum(result.done for result in results) >= 20
    assert [result.failed for result in results] == [0, 0, 0]
    assert types(store).count("order-rejected") == 20
    assert set(OrderSaga.objects.values_list("state", flat=True)) == {"closed"}


def make_overdue():
    OrderSaga.objects.update(deadline=timezone.now() - timedelta(seconds=1))


def test_the_task_and_the_command_sweep_the_processs_store(memory_store, settings):
    settings.PAYMENT_DEADLINE_SECONDS = 0
    placed(memory_store)
    deliver(memory_store)
    sweep_overdue()
    assert types(memory_store) == ["order-created", "order-rejected"]
    placed(memory_store)
    deliver(memory_store)
    out = StringIO()
    call_command("sweep_overdue", stdout=out)
    assert out.getvalue() == "1 overdue orders looked at, 0 failed.\n"


def test_the_command_says_if_it_could_not_get_through():
    store = GoesAway()
    placed(store)
    deliver(store)
    make_overdue()
    store.away = True
    use(store)
    try:
        with pytest.raises(CommandError, match="Unavailable"):
            call_command("sweep_overdue", stdout=StringIO())
    finally:
        use(None)
