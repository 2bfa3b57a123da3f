"""A rebuild in one pass over the log: whatever the rows were and wherever it is cut into parts."""

import pytest
from django.db import IntegrityError
from django.db.models import F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.crdb import CrdbConnection

from eventstore.client import Unavailable
from eventstore.client.memory import InMemoryEventStore
from orders_site.transactions import committed
from queries import bulk, portions, progress, rows, strays
from queries.models import CustomerSummary, OrderItemRow, OrderRow, RestaurantSummary
from queries.projections import fold
from queries.projector import OrderProjector
from queries.rebuilding import Rebuild
from tests.expected_orders import append_history, histories, place
from tests.integration.test_queries_projector import all_events, assert_query_model_is, deliver

pytestmark = pytest.mark.django_db(databases=["queries"], transaction=True)

LIFE = ["order-created", "order-payment-debited", "order-approved", "order-shipped"]


def interleaved(lives, random):
    """A log in which the orders' events lie between each other's."""
    store = InMemoryEventStore()
    turns = [number for number, types in enumerate(lives) for _ in types]
    random.shuffle(turns)
    lives = [list(types) for types in lives]
    for number in turns:
        append_history(store, f"order-{number}", [lives[number].pop(0)])
    return store


def silently(line):
    """Takes a line for nobody."""


def emptied():
    for model in (OrderItemRow, OrderRow, CustomerSummary, RestaurantSummary):
        model.objects.all().delete()


def spoil(order_id, random):
    """One of the ways in which a row may be wrong, whatever its state."""
    row = OrderRow.objects.filter(order_id=order_id)
    items = OrderItemRow.objects.filter(order_id=order_id)
    random.choice(
        [
            lambda: row.update(status="shipped", amount_minor=1),
            lambda: row.update(version=99),
            lambda: row.update(version=99, position=10**6),
            lambda: row.update(version=1, position=1),
            lambda: (row.update(version=0), items.update(quantity=77)),
            lambda: row.update(position=10**6),
            lambda: items.update(quantity=77),
            lambda: items.delete(),
            lambda: (items.delete(), row.delete()),
            lambda: (items.update(quantity=77), row._raw_delete("queries")),
        ]
    )()


@given(st.lists(histories(), min_size=1, max_size=6), st.randoms(use_true_random=False))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_rows_there_were_a_rebuild_in_parts_of_any_size_gives_the_fold(
    monkeypatch, lives, random
):
    emptied()
    store = interleaved(lives, random)
    events = all_events(store)
    applied = events[: random.randint(0, len(events))]
    if applied:
        deliver(OrderProjector(store), store, applied)
    for number in range(len(lives)):
        if random.random() < 0.5:
            spoil(f"order-{number}", random)
    monkeypatch.setattr(portions, "PORTION_EVENTS", random.randint(1, 8))
    monkeypatch.setattr(strays, "LOOKED_UP_ROWS", random.randint(1, 3))
    Rebuild(store, silently).run()
    assert_query_model_is(events)
    assert Rebuild(store, silently).run() == 0


@pytest.mark.parametrize("copied_from", [1, 10**6])
@pytest.mark.parametrize("lines", [0, 8], ids=["same lines", "other lines"])
def test_items_that_somebody_left_behind_when_emptying_the_orders_give_way(
    monkeypatch, copied_from, lines
):
    monkeypatch.setattr(bulk, "COPY_ROWS", copied_from)
    store = InMemoryEventStore()
    for number in range(5):
        append_history(store, f"order-{number}", LIFE)
    deliver(OrderProjector(store), store, all_events(store))
    OrderItemRow.objects.update(quantity=77, line=F("line") + lines)
    OrderRow.objects.all()._raw_delete("queries")
    Rebuild(store, silently).run()
    assert_query_model_is(all_events(store))


class Breaking(InMemoryEventStore):
    """Goes away when the events up to a position have been read."""

    breaks_at = 0

    def read_stream(self, from_position=1, **options):
        for event in super().read_stream(from_position, **options):
            if event.position > self.breaks_at:
                raise Unavailable
            yield event


@pytest.mark.parametrize("breaks_at", [0, 1, 17, 80, 119])
def test_what_a_broken_off_rebuild_has_done_is_whole_and_the_next_goes_on_from_there(
    monkeypatch, breaks_at
):
    monkeypatch.setattr(portions, "PORTION_EVENTS", 10)
    whole = InMemoryEventStore()
    for turn in LIFE:
        for number in range(30):
            append_history(whole, f"order-{number:02}", [turn])
    store = Breaking()
    vars(store).update(vars(whole))
    store.breaks_at = breaks_at
    broken = Rebuild(store, silently)
    with pytest.raises(Unavailable):
        broken.run()
    assert broken.from_position == breaks_at // 10 * 10 + 1
    assert_query_model_is(all_events(whole)[: broken.from_position - 1])
    Rebuild(whole, silently, broken.from_position).run()
    assert_query_model_is(all_events(whole))


class WithoutHistories(InMemoryEventStore):
    """Can be read from its beginning on, and in no other way."""

    def read_many(self, aggregates):
        raise Unavailable


def test_a_part_is_not_done_before_its_doubtful_orders_are(monkeypatch):
    monkeypatch.setattr(portions, "PORTION_EVENTS", 10)
    monkeypatch.setattr(portions, "REMEMBERED_CHARACTERS", 0)
    whole, store = InMemoryEventStore(), WithoutHistories()
    for turn in LIFE:
        for number in range(10):
            append_history(whole, f"order-{number}", [turn])
    deliver(OrderProjector(whole), whole, all_events(whole)[:25])
    OrderRow.objects.filter(order_id="order-2").update(status="rejected")
    vars(store).update(vars(whole))
    broken = Rebuild(store, silently)
    with pytest.raises(Unavailable):
        broken.run()
    assert broken.from_position == 11
    Rebuild(whole, silently, broken.from_position).run()
    assert_query_model_is(all_events(whole))


def test_a_rebuild_is_killed_between_two_statements_and_leaves_no_part_of_them(monkeypatch):
    store = InMemoryEventStore()
    for number in range(5):
        append_history(store, f"order-{number}", LIFE)

    def killed(write, begin=bulk._begun):
        if write.unnested.table == CustomerSummary._meta.db_table:
            raise KeyboardInterrupt
        return begin(write)

    with monkeypatch.context() as patched:
        patched.setattr(bulk, "_begun", killed)
        with pytest.raises(KeyboardInterrupt):
            Rebuild(store, silently).run()
    assert not OrderRow.objects.exists()
    assert not OrderItemRow.objects.exists()
    Rebuild(store, silently).run()
    assert_query_model_is(all_events(store))


def test_a_rebuild_of_many_orders_writes_them_all(monkeypatch):
    copied = []
    monkeypatch.setattr(bulk, "_copied", lambda *a, do=bulk._copied: copied.append(a) or do(*a))
    store = InMemoryEventStore()
    for number in range(3 * bulk.COPY_ROWS):
        item = {"code": "\\N", "name": "tab\t, comma, 🍕", "unit_price": "25.50", "quantity": 1}
        place(store, customer_id=f"customer-{number % 7}", order_items=[item])
    Rebuild(store, silently).run()
    assert copied
    assert_query_model_is(all_events(store))


def test_a_database_without_a_transactional_copy_gets_the_same_rows(monkeypatch):
    monkeypatch.setattr(CrdbConnection, "is_crdb", lambda connection: True)
    monkeypatch.setattr(bulk, "_copied", None)
    store = InMemoryEventStore()
    for number in range(2 * bulk.COPY_ROWS):
        place(store, customer_id=f"customer-{number % 7}")
    Rebuild(store, silently).run()
    assert_query_model_is(all_events(store))


def test_many_orders_of_which_a_worker_inserted_one_meanwhile_are_refused_as_a_whole():
    store = InMemoryEventStore()
    ids = [place(store) for _ in range(bulk.COPY_ROWS)]
    views = {id_: fold(store.read_aggregate(id_)) for id_ in ids}
    log_id = store.head().log_id
    committed("queries", lambda: rows.write({}, {ids[0]: views[ids[0]]}, log_id))
    with pytest.raises(IntegrityError):
        committed("queries", lambda: rows.write({}, views, log_id))
    assert OrderRow.objects.count() == 1
    deliver(OrderProjector(store), store, all_events(store))
    assert_query_model_is(all_events(store))


def test_a_row_that_a_worker_moved_since_it_was_read_is_read_again(monkeypatch):
    store = InMemoryEventStore()
    append_history(store, "order-1", ["order-created"])
    deliver(OrderProjector(store), store, all_events(store))
    OrderRow.objects.update(status="shipped")
    real, moved = rows.stored, []

    def stored(order_ids):
        found = real(order_ids)
        if not moved:
            moved.append(OrderRow.objects.update(reason="moved on"))
        return found

    monkeypatch.setattr(rows, "stored", stored)
    Rebuild(store, silently).run()
    assert moved
    assert_query_model_is(all_events(store))


def test_rows_of_another_log_with_the_same_events_are_taken_over():
    store, later = InMemoryEventStore(), InMemoryEventStore()
    append_history(store, "order-1", LIFE)
    deliver(OrderProjector(store), store, all_events(store))
    vars(later).update({**vars(store), "_heads": later._heads})
    assert Rebuild(later, silently).run() == 1
    assert set(OrderRow.objects.values_list("log_id", flat=True)) == {later.head().log_id}


def test_a_rebuild_says_how_far_it_is_how_fast_and_how_long_it_will_take(monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(portions, "PORTION_EVENTS", 5)
    store = InMemoryEventStore()
    for _ in range(20):
        place(store)
    lines = []
    Rebuild(store, lines.append).run()
    half = next(line for line in lines if "position 10 of 20 (50 %)" in line)
    assert "events/s" in half
    assert "left" in half
    assert "20 differences" in lines[-1] or "put right" in lines[-1]
