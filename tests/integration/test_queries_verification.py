"""Verification finds what differs from the log, repair and rebuild put it right, workers or not."""

import threading
from io import StringIO
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from eventstore.client import Unavailable
from eventstore.client.connection import use
from eventstore.client.memory import InMemoryEventStore
from queries.management.commands.rebuild_queries import Command as Rebuild
from queries.models import (
    Checkpoint,
    CustomerSummary,
    OrderItemRow,
    OrderRow,
    ParkedMessage,
    RestaurantSummary,
)
from queries.projector import SUBSCRIPTION, OrderProjector
from tests.expected_orders import append, append_history, place
from tests.integration.test_queries_projector import all_events, assert_query_model_is, deliver

pytestmark = pytest.mark.django_db(databases=["queries"], transaction=True)

LIVES = (
    ["order-created", "order-payment-debited", "order-approved"],
    ["order-created", "order-payment-failed", "order-rejected"],
    ["order-created", "order-payment-debited", "order-cancelled", "order-payment-refunded"],
    ["order-created"],
)


@pytest.fixture
def store(memory_store):
    """A log of some orders of the past, whose query models are complete."""
    for number in range(40):
        append_history(memory_store, f"order-{number:02}", LIVES[number % 4])
    deliver(OrderProjector(memory_store), memory_store, all_events(memory_store))
    checkpoint_at_head(memory_store)
    return memory_store


def checkpoint_at_head(store):
    head = store.head()
    Checkpoint.objects.update_or_create(
        subscription=SUBSCRIPTION, defaults={"log_id": head.log_id, "position": head.position}
    )


def run(command, *arguments):
    out = StringIO()
    call_command(command, *arguments, stdout=out)
    return out.getvalue()


def refused(command, *arguments):
    with pytest.raises(CommandError) as refusal:
        run(command, *arguments)
    return refusal.value


def test_complete_query_models_verify(store):
    assert "40 orders checked, 0 differences" in run("verify_queries")


def test_an_empty_log_and_empty_query_models_verify(memory_store):
    assert "0 orders checked, 0 differences" in run("verify_queries")


def tamper_status():
    OrderRow.objects.filter(order_id="order-01").update(status="paid")


def tamper_item():
    OrderItemRow.objects.filter(order_id="order-02", line=1).update(quantity=3)


def lose_item():
    OrderItemRow.objects.filter(order_id="order-02", line=2).delete()


def lose_row():
    OrderItemRow.objects.filter(order_id="order-03").delete()
    OrderRow.objects.filter(order_id="order-03").delete()


def fall_behind():
    OrderRow.objects.filter(order_id="order-00").update(
        status="pending", payment_status="none", debited_minor=0, version=1, position=1
    )


def run_ahead():
    OrderRow.objects.filter(order_id="order-03").update(version=9)


def invent_row():
    row = OrderRow.objects.get(order_id="order-03")
    row.order_id = "order-of-nobody"
    row.save(force_insert=True)


def change_log():
    OrderRow.objects.filter(order_id="order-03").update(log_id=UUID(int=5))


def spoil_summary():
    CustomerSummary.objects.filter(orders__gt=0).update(orders=77)


def lose_summaries():
    RestaurantSummary.objects.all().delete()


def invent_summary():
    CustomerSummary.objects.create(
        customer_id="nobody", day="2019-01-01", status="paid", currency="EUR", orders=1,
        amount_minor=5,
    )  # fmt: skip


DAMAGES = [
    tamper_status,
    tamper_item,
    lose_item,
    lose_row,
    fall_behind,
    run_ahead,
    invent_row,
    change_log,
    spoil_summary,
    lose_summaries,
    invent_summary,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damage_is_found_and_repaired(store, damage):
    damage()
    assert refused("verify_queries").returncode == 1
    assert "put right" in run("verify_queries", "--repair")
    assert_query_model_is(all_events(store))
    assert ", 0 differences" in run("verify_queries")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_rebuild_puts_any_damage_right(store, damage):
    damage()
    run("rebuild_queries")
    assert_query_model_is(all_events(store))
    assert ", 0 differences" in run("verify_queries")


def test_a_rebuild_from_nothing_gives_what_the_workers_gave(store):
    before = rows_and_items()
    for model in (OrderItemRow, OrderRow, CustomerSummary, RestaurantSummary):
        model.objects.all().delete()
    run("rebuild_queries")
    assert rows_and_items() == before
    assert_query_model_is(all_events(store))


def rows_and_items():
    return [list(model.objects.order_by("pk").values()) for model in (OrderRow, OrderItemRow)]


def test_query_models_that_only_lag_are_no_difference(store):
    append_history(store, "order-new", ["order-created"])
    append(store, "order-03", "order-payment-debited")
    assert ", 0 differences" in run("verify_queries")


def test_events_below_the_checkpoint_must_be_there(store):
    append_history(store, "order-new", ["order-created"])
    checkpoint_at_head(store)
    assert "order-new" in difference_lines()


def difference_lines():
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("verify_queries", stdout=out)
    return out.getvalue()


def test_a_parked_order_may_stay_behind(store):
    append(store, "order-03", "order-payment-debited")
    checkpoint_at_head(store)
    ParkedMessage.objects.create(
        subscription=SUBSCRIPTION,
        aggregate_id="order-03",
        from_version=2,
        error="x",
        state=ParkedMessage.State.PARKED,
    )
    assert ", 0 differences" in run("verify_queries")


def test_an_order_that_can_not_be_read_stops_neither_verification_nor_rebuild(store):
    append(store, "order-03", "order-approved", schema_version=99)
    append(store, str(uuid4()), "order-created", {"no": "order"})
    checkpoint_at_head(store)
    assert ", 0 differences" in run("verify_queries")
    run("rebuild_queries")
    assert OrderRow.objects.get(order_id="order-03").version == 1
    assert OrderRow.objects.count() == 40


def test_a_rebuild_while_workers_go_on_loses_and_doubles_nothing(store):
    lose_row()
    lose_summaries()
    done, failures = threading.Event(), []

    def work():
        try:
            projector = OrderProjector(store)
            number = 0
            while not done.is_set() or number < 5:
                order_id = f"order-{100 + number}" if number % 2 else f"order-{number % 40:02}"
                events = append_history(store, order_id, ["order-created", "order-payment-debited"])
                deliver(projector, store, events)
                number += 1
        except Exception as error:
            failures.append(error)
        finally:
            connections["queries"].close()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(3):
            run("rebuild_queries")
    finally:
        done.set()
        worker.join(60)
    assert not failures
    assert_query_model_is(all_events(store))


@pytest.mark.parametrize(
    ("trouble", "words", "code"),
    [(Unavailable, "can't be reached", 1), (KeyboardInterrupt, "Stopped", 130)],
)
def test_trouble_is_said_plainly_with_how_to_go_on(store, trouble, words, code):
    class Troubled(InMemoryEventStore):
        def read_many(self, aggregates):
            raise trouble

    invent_row()
    troubled = Troubled()
    vars(troubled).update(vars(store))
    use(troubled)
    refusal = refused("rebuild_queries")
    assert words in str(refusal)
    assert f"--from-position={store.head().position + 1}" in str(refusal)
    assert refusal.returncode == code


def test_a_rebuild_goes_on_where_it_stopped(store):
    tamper_status()
    tamper_item()
    position = store.read_aggregate("order-02")[0].position
    run("rebuild_queries", f"--from-position={position}", "--from-order=order-01")
    assert OrderRow.objects.get(order_id="order-01").status == "paid"
    assert OrderItemRow.objects.get(order_id="order-02", line=1).quantity == 2


@pytest.mark.parametrize("position", ["0", "-1", "x", "٣", "9" * 30])
def test_a_position_that_is_none_is_refused(position, capsys):
    with pytest.raises(SystemExit) as exit_:
        Rebuild().run_from_argv(["manage.py", "rebuild_queries", f"--from-position={position}"])
    assert exit_.value.code == 2
    assert "position of the log" in capsys.readouterr().err


def test_no_more_than_a_screenful_of_differences_is_named(store):
    OrderRow.objects.update(status="shipped")
    lines = difference_lines()
    assert lines.count("status") == 20
    assert "40 orders checked" in lines


def test_orders_on_the_first_and_the_last_day_there_is_are_summed(memory_store):
    for created_on in ("0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"):
        place(memory_store, created_on=created_on)
    deliver(OrderProjector(memory_store), memory_store, all_events(memory_store))
    checkpoint_at_head(memory_store)
    assert "2 orders checked, 0 differences" in run("verify_queries")
    lose_summaries()
    run("verify_queries", "--repair")
    assert_query_model_is(all_events(memory_store))
