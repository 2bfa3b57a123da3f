"""What a rebuild knows without asking: the orders that it remembers, the rows that can't be there,
and those that it has counted.
"""

import pytest

from eventstore.client import Unavailable
from eventstore.client.memory import InMemoryEventStore
from queries import bulk, portions, rebuilding, rows, strays
from queries.models import OrderItemRow, OrderRow
from queries.projector import OrderProjector
from queries.rebuilding import Rebuild
from tests.expected_orders import append, append_history, place
from tests.integration.test_queries_projector import all_events, assert_query_model_is, deliver
from tests.integration.test_queries_rebuilding import LIFE, WithoutHistories, silently

pytestmark = pytest.mark.django_db(databases=["queries"], transaction=True)


def test_large_events_make_small_parts(monkeypatch):
    monkeypatch.setattr(portions, "PORTION_CHARACTERS", 100_000)
    store = InMemoryEventStore()
    for _ in range(9):
        append(store, place(store), "order-scented", {"of": "x" * 40_000})
    read = list(portions.portions(store, 1, 18))
    assert [portion.position for portion in read] == [6, 12, 18]
    parts = [part for portion in read for part in portion.parts.values()]
    assert sum(part.last - part.first + 1 for part in parts) == 18


def test_a_part_keeps_events_only_where_it_is_not_known_what_they_go_on_from(monkeypatch):
    monkeypatch.setattr(portions, "PORTION_EVENTS", 5)
    store = InMemoryEventStore()
    for number in range(2):
        append_history(store, f"order-{number}", LIFE)
    first, second = portions.portions(store, 1, 8)
    assert [part.events for part in first.parts.values()] == [[], []]
    assert [part.folded.version for part in first.parts.values()] == [4, 1]
    assert second.parts["order-1"].events == []
    assert second.parts["order-1"].folded.version == 4
    (resumed,) = portions.portions(store, 6, 8)
    assert [event.version for event in resumed.parts["order-1"].events] == [2, 3, 4]
    assert resumed.parts["order-1"].folded is None


@pytest.mark.parametrize("applied", [0, 25, 40])
def test_orders_whose_events_lie_far_apart_are_compared_without_reading_them_again(
    monkeypatch, applied
):
    monkeypatch.setattr(portions, "PORTION_EVENTS", 10)
    whole, store = InMemoryEventStore(), WithoutHistories()
    for turn in LIFE:
        for number in range(10):
            append_history(whole, f"order-{number}", [turn])
    if applied:
        deliver(OrderProjector(whole), whole, all_events(whole)[:applied])
        OrderRow.objects.filter(order_id="order-2").update(amount_minor=1)
        OrderItemRow.objects.filter(order_id="order-3").update(quantity=77)
    vars(store).update(vars(whole))
    lines = []
    # What was only behind is no difference.
    assert Rebuild(store, lines.append).run() == (4 if applied else 10)
    assert_query_model_is(all_events(whole))
    if applied:
        assert {"  order-2: amount_minor", "  order-3: items"} <= set(lines)


def test_the_orders_that_nothing_came_of_for_the_longest_time_are_forgotten(monkeypatch):
    store = InMemoryEventStore()
    for number in range(9):
        append_history(store, f"order-{number}", LIFE[:1])
    remembered = portions.Remembered()
    events = all_events(store)
    characters = len(events[0].data)
    monkeypatch.setattr(portions, "REMEMBERED_CHARACTERS", 3 * characters)
    for event in events:
        part = remembered.part(event)
        part.add(event)
        remembered.keep({event.aggregate_id: part})
    append_history(store, "order-4", LIFE[1:2])
    append_history(store, "order-8", LIFE[1:2])
    forgotten, known = map(remembered.part, all_events(store)[9:])
    assert forgotten.before is None
    assert known.before.order_id == "order-8"


def test_orders_that_a_model_without_rows_cannot_have_are_not_looked_up(monkeypatch):
    asked = []
    monkeypatch.setattr(rows, "stored", lambda ids, do=rows.stored: asked.append(ids) or do(ids))
    store = InMemoryEventStore()
    for number in range(10):
        append_history(store, f"order-{number}", LIFE)
    Rebuild(store, silently).run()
    assert asked == [[]]
    assert_query_model_is(all_events(store))


@pytest.mark.parametrize("copied_from", [1, 10**6])
def test_a_model_that_a_worker_begins_to_fill_is_looked_at_from_there_on(monkeypatch, copied_from):
    monkeypatch.setattr(bulk, "COPY_ROWS", copied_from)
    monkeypatch.setattr(portions, "PORTION_EVENTS", 10)

    class Busy(InMemoryEventStore):
        def read_stream(self, from_position=1, **options):
            deliver(OrderProjector(whole), whole, all_events(whole)[15:25])
            yield from super().read_stream(from_position, **options)

    whole, store = InMemoryEventStore(), Busy()
    for turn in LIFE:
        for number in range(20):
            append_history(whole, f"order-{number:02}", [turn])
    vars(store).update(vars(whole))
    Rebuild(store, silently).run()
    assert_query_model_is(all_events(whole))


def test_a_model_with_a_row_for_each_order_of_the_log_is_not_looked_up_in_it(monkeypatch):
    monkeypatch.setattr(strays, "COUNTED_ROWS", 3)
    whole, store = InMemoryEventStore(), WithoutHistories()
    for number in range(10):
        append_history(whole, f"order-{number}", LIFE)
    deliver(OrderProjector(whole), whole, all_events(whole))
    vars(store).update(vars(whole))
    assert Rebuild(store, silently).run() == 0
    OrderRow.objects.create(**{**OrderRow.objects.values().first(), "order_id": "a stray"})
    with pytest.raises(Unavailable):
        Rebuild(store, silently).run()
    # The row, and the two summaries that it was never counted in.
    assert Rebuild(whole, silently).run() == 3
    assert_query_model_is(all_events(whole))


@pytest.mark.parametrize("ahead", [0, 10])
def test_a_row_that_claims_to_stand_at_an_event_that_never_comes_is_put_right(monkeypatch, ahead):
    monkeypatch.setattr(rebuilding, "MOST_AHEAD", ahead)
    monkeypatch.setattr(portions, "PORTION_EVENTS", 5)
    store = InMemoryEventStore()
    for number in range(10):
        append_history(store, f"order-{number}", LIFE[:2])
    deliver(OrderProjector(store), store, all_events(store))
    OrderRow.objects.filter(order_id="order-1").update(version=3, position=20)
    assert Rebuild(store, silently).run() == 1
    assert_query_model_is(all_events(store))


def test_with_too_many_rows_ahead_to_keep_in_mind_no_history_is_read_for_them(monkeypatch):
    monkeypatch.setattr(rebuilding, "MOST_AHEAD", 3)
    monkeypatch.setattr(portions, "PORTION_EVENTS", 10)
    from_versions = []

    class Recording(InMemoryEventStore):
        def read_many(self, aggregates):
            from_versions.extend(version for _, version in aggregates)
            return super().read_many(aggregates)

    store = Recording()
    for turn in LIFE:
        for number in range(10):
            append_history(store, f"order-{number}", [turn])
    deliver(OrderProjector(store), store, all_events(store))
    from_versions.clear()
    assert Rebuild(store, silently).run() == 0
    assert set(from_versions) == {len(LIFE)}
