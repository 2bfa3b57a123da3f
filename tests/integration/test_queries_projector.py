"""The projector on a real database: however notices come, the rows are the fold of the log."""

import threading
from collections import defaultdict
from itertools import groupby
from operator import attrgetter
from uuid import uuid4

import pytest
from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import IsolationLevel

from eventstore.client import UnknownSchemaVersion
from eventstore.client.memory import InMemoryEventStore
from orders_site.transactions import committed
from queries import reads, rows
from queries.models import CustomerSummary, OrderItemRow, OrderRow, RestaurantSummary
from queries.projections import fold
from queries.projector import OrderProjector
from queries.rows import RowsMoved
from tests.expected_orders import (
    append,
    append_history,
    expected_row,
    expected_summaries,
    histories,
    place,
)

pytestmark = pytest.mark.django_db(databases=["queries"], transaction=True)


def deliver(projector, store, notices):
    """What a subscriber does with a fetch of notices: fill the gaps, apply in one transaction."""

    def work():
        versions = projector.versions(sorted({event.aggregate_id for event in notices}))
        upto = defaultdict(int)
        for event in notices:
            upto[event.aggregate_id] = max(upto[event.aggregate_id], event.version)
        wanted = [
            (order_id, versions.get(order_id, 0) + 1)
            for order_id, last in upto.items()
            if last > versions.get(order_id, 0)
        ]
        found = groupby(store.read_many(wanted), key=attrgetter("aggregate_id"))
        projector.apply(
            {
                order_id: [event for event in events if event.version <= upto[order_id]]
                for order_id, events in found
            }
        )

    while True:
        try:
            return committed("queries", work)
        except RowsMoved:
            continue


def assert_query_model_is(events):
    """Row for row and sum for sum what independent code makes of the events."""
    by_order = defaultdict(list)
    for event in events:
        by_order[event.aggregate_id].append(event)
    expected = {
        order_id: row for order_id, of in by_order.items() if (row := expected_row(of)) is not None
    }
    found = {row.pop("order_id"): row for row in OrderRow.objects.values()}
    for row in found.values():
        row.pop("log_id")
    assert found == {
        order_id: {name: value for name, value in row.items() if name != "order_id"}
        for order_id, row in expected.items()
    }
    assert {view.order_id: view.items for view in reads.orders(found)} == {
        order_id: fold(by_order[order_id]).items for order_id in expected
    }
    for model, owner in ((CustomerSummary, "customer_id"), (RestaurantSummary, "restaurant_id")):
        summaries = {
            (getattr(row, owner), row.day, row.status, row.currency): (row.orders, row.amount_minor)
            for row in model.objects.exclude(orders=0, amount_minor=0)
        }
        assert summaries == expected_summaries(expected.values(), owner)


def all_events(store):
    return list(store.read_stream())


def test_a_fetch_of_new_orders_becomes_rows_items_and_summaries():
    store = InMemoryEventStore()
    projector = OrderProjector(store)
    for number in range(30):
        append_history(store, f"order-{number}", ["order-created", "order-payment-debited"])
    deliver(projector, store, all_events(store))
    assert_query_model_is(all_events(store))
    assert OrderItemRow.objects.count() == 60
    assert set(OrderRow.objects.values_list("log_id", flat=True)) == {store.head().log_id}


def test_a_fetch_costs_the_same_statements_however_many_orders_it_has(
    django_assert_max_num_queries,
):
    store = InMemoryEventStore()
    projector = OrderProjector(store)
    for number in range(40):
        append_history(store, f"order-{number}", ["order-created"])
    deliver(projector, store, all_events(store))
    for number in range(80):
        types = ["order-payment-debited"] if number < 40 else ["order-created"]
        append_history(store, f"order-{number}", types)
    with django_assert_max_num_queries(9, using="queries"):
        deliver(projector, store, all_events(store))
    assert_query_model_is(all_events(store))


def test_delivering_everything_again_changes_nothing():
    store = InMemoryEventStore()
    projector = OrderProjector(store)
    append_history(store, "order-1", ["order-created", "order-payment-debited", "order-approved"])
    deliver(projector, store, all_events(store))
    deliver(projector, store, all_events(store))
    committed("queries", lambda: projector.apply({"order-1": store.read_aggregate("order-1")}))
    assert_query_model_is(all_events(store))


def test_a_gap_is_refused_and_changes_nothing():
    store = InMemoryEventStore()
    projector = OrderProjector(store)
    append_history(store, "order-1", ["order-created", "order-payment-debited", "order-approved"])
    deliver(projector, store, all_events(store)[:1])
    with pytest.raises(RowsMoved):
        committed(
            "queries", lambda: projector.apply({"order-1": store.read_aggregate("order-1", 3)})
        )
    assert_query_model_is(all_events(store)[:1])


def test_an_event_that_can_not_be_read_leaves_nothing_of_its_fetch_behind():
    store = InMemoryEventStore()
    projector = OrderProjector(store)
    place(store)
    append(store, place(store), "order-approved", schema_version=2)
    with pytest.raises(UnknownSchemaVersion):
        deliver(projector, store, all_events(store))
    assert not OrderRow.objects.exists()
    assert not CustomerSummary.objects.exists()


def test_events_of_no_order_leave_no_row_and_no_hindrance():
    store = InMemoryEventStore()
    projector = OrderProjector(store)
    append(store, "stray", "order-scented")
    deliver(projector, store, all_events(store))
    assert not OrderRow.objects.exists()
    append_history(store, "stray", ["order-created"])
    deliver(projector, store, all_events(store)[1:])
    assert_query_model_is(all_events(store))


def test_texts_of_any_kind_and_length_are_kept():
    store = InMemoryEventStore()
    item = {"unit_price": "1.00", "quantity": 2**31 - 1}
    item |= {"code": "{'a',\\,\"b\"}", "name": "ß%s🍕" * 999}
    order_id = place(store, customer_id="NULL", restaurant_id="☃" * 255, order_items=[item])
    deliver(OrderProjector(store), store, all_events(store))
    view = reads.order(order_id)
    assert view == fold(all_events(store))
    assert view.items[0].name == item["name"]


def test_sums_beyond_64_bits_are_exact():
    store = InMemoryEventStore()
    for _ in range(12):
        place(store, amount="10000000000000.00")
    projector = OrderProjector(store)
    RestaurantSummary.objects.create(
        restaurant_id="pizza-roma",
        day="2026-03-01",
        status="pending",
        currency="EUR",
        orders=0,
        amount_minor=2**63,
    )
    deliver(projector, store, all_events(store))
    assert RestaurantSummary.objects.get().amount_minor == 2**63 + 12 * 10**15


@given(st.lists(histories(), min_size=1, max_size=6), st.randoms(use_true_random=False))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_batching_duplication_and_order_of_notices_gives_the_fold(lives, random):
    for model in (OrderItemRow, OrderRow, CustomerSummary, RestaurantSummary):
        model.objects.all().delete()
    store = InMemoryEventStore()
    projector = OrderProjector(store)
    for number, types in enumerate(lives):
        append_history(store, f"order-{number}", types)
    events = all_events(store)
    notices = events + random.choices(events, k=len(events))
    random.shuffle(notices)
    while notices:
        size = random.randint(1, len(notices))
        deliver(projector, store, notices[:size])
        del notices[:size]
    assert_query_model_is(events)


@pytest.mark.parametrize("level", [IsolationLevel.READ_COMMITTED, IsolationLevel.SERIALIZABLE])
def test_workers_on_the_same_orders_at_once_count_each_once(level):
    store = InMemoryEventStore()
    for number in range(12):
        append_history(
            store,
            f"order-{number}",
            ["order-created", "order-payment-debited", "order-approved", "order-shipped"],
        )
    events = sorted(all_events(store), key=attrgetter("version"))
    start = threading.Barrier(3)
    failures = []

    def work():
        try:
            connections["queries"].ensure_connection()
            connections["queries"].connection.isolation_level = level
            projector = OrderProjector(store)
            start.wait(10)
            for first in range(0, len(events), 6):
                deliver(projector, store, events[first : first + 6])
        except Exception as error:
            failures.append(error)
        finally:
            connections["queries"].close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert_query_model_is(events)


def test_an_order_inserted_by_another_worker_meanwhile_is_read_again():
    store = InMemoryEventStore()
    projector = OrderProjector(store)
    order_id = str(uuid4())
    events = append_history(store, order_id, ["order-created", "order-payment-debited"])
    view, paid = fold(events[:1]), fold(events)
    committed("queries", lambda: rows.write({}, {order_id: view}, store.head().log_id))
    with pytest.raises(RowsMoved):
        committed("queries", lambda: rows.write({}, {order_id: paid}, store.head().log_id))
    deliver(projector, store, events)
    assert_query_model_is(events)
