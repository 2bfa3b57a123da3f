"""Odd but storable events: applied as they come or all at once, the rows are the pure fold of each
order up to the first of its events that can't be read.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore.client import Event, NewEvent, to_json
from eventstore.client.memory import InMemoryEventStore
from orders_site.transactions import committed
from queries import bulk, portions, rows
from queries.models import CustomerSummary, OrderItemRow, OrderRow, RestaurantSummary
from queries.projections import UNREADABLE, OrderView, contribution, fold_readable
from queries.projector import OrderProjector
from queries.rebuilding import Rebuild
from tests.expected_orders import CREATED, DATA, append
from tests.integration.test_queries_rebuilding import emptied, silently

pytestmark = pytest.mark.django_db(databases=["queries"], transaction=True)

# One of each kind that a row has a column for, and what stands in for it once in a while.
ODD: dict[str, list[Any]] = {
    "customer_id": ["", " ", "é🍕\u2028\u202e\u00ad", "x" * 255, "x" * 256, "nul \x00", None, 7],
    "restaurant_id": ["customer-1", "\\N", '{"a,b"}', "NULL", []],
    "created_on": [
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-01:00",
        "1999-12-31T23:59:59.999999Z",
        "2026-03-01T00:30:00+14:00",
        "2026-03-01T12:00:00",
        "infinity",
    ],
    "amount": [
        "0",
        "10000000000000.00",
        "10000000000000.01",
        "-1.00",
        "1e3",
        "NaN",
        25.5,
        "12.345",
    ],
    "currency": ["JPY", "BHD", "XXX", "eur", ""],
    "order_items": [
        [],
        {},
        [{"code": "", "name": "\u0000", "unit_price": "1.00", "quantity": 1}],
        [{"code": "", "name": "\u2029", "unit_price": "-0.00", "quantity": 2**31 - 1}],
        [{"code": "a", "name": "b", "unit_price": "1.00", "quantity": 2**31}],
        [{"code": "a", "name": "b", "unit_price": "1.00", "quantity": 0}] * 2,
        [{"code": "a", "name": "b", "unit_price": "-10000000000.00", "quantity": 1}] * 120,
    ],
    "reason": ["", "\r\n\t\x7f\ufeff", "\x00", 3],
}
METADATA: list[dict[str, Any]] = [
    {"schema_version": 2},
    {"schema_version": "1"},
    {"schema_version": 1.0},
    {},
    {"api_client": str(uuid4())},
    {"api_client": "nobody"},
    {"api_client": None},
    {"api_client": 5},
]
COUNTED = {"customer": CustomerSummary, "restaurant": RestaurantSummary}


@st.composite
def odd_events(draw: st.DrawFn) -> tuple[str, str, str]:
    """An event's type, data and metadata."""
    event_type = draw(st.sampled_from(["order-created", "order-created", *DATA]))
    data = dict(DATA.get(event_type, CREATED))
    for name in draw(st.lists(st.sampled_from(sorted(ODD)), max_size=2)):
        if name in data:
            data[name] = draw(st.sampled_from(ODD[name]))
    if draw(st.integers(0, 30)) == 0:
        data.pop(draw(st.sampled_from(sorted(data))))
    metadata = {"schema_version": 1}
    if draw(st.integers(0, 6)) == 0:
        metadata = draw(st.sampled_from(METADATA))
    return event_type, to_json(data), to_json(metadata)


def logged(lives: Sequence[Sequence[tuple[str, str, str]]], random: Random) -> InMemoryEventStore:
    """The orders' events, some of them between each other's."""
    store = InMemoryEventStore()
    left = [list(life) for life in lives]
    turns = [number for number, life in enumerate(lives) for _ in life]
    random.shuffle(turns)
    for number in turns:
        event_type, data, metadata = left[number].pop(0)
        store.append(
            [
                NewEvent(
                    event_id=uuid4(),
                    event_type=event_type,
                    aggregate_id=f"order-{number}",
                    aggregate_type="order",
                    data=data,
                    metadata=metadata,
                )
            ]
        )
    return store


class Subscriber:
    """Applies fetches of notices; what fails together is tried alone, and stays where it failed."""

    def __init__(self, store: InMemoryEventStore) -> None:
        self._store = store
        self._projector = OrderProjector(store)
        self._parked: set[str] = set()

    def take(self, notices: Sequence[Event]) -> None:
        upto: defaultdict[str, int] = defaultdict(int)
        for event in notices:
            upto[event.aggregate_id] = max(upto[event.aggregate_id], event.version)
        found = {id_: self._news(id_, last) for id_, last in upto.items()}
        wanted = {id_: news for id_, news in found.items() if news and id_ not in self._parked}
        try:
            self._apply(wanted)
        except UNREADABLE:
            for order_id, news in wanted.items():
                try:
                    for event in news:
                        self._apply({order_id: [event]})
                except UNREADABLE:
                    self._parked.add(order_id)

    def _news(self, order_id: str, last: int) -> list[Event]:
        version = rows.versions([order_id]).get(order_id, 0)
        return list(self._store.read_aggregate(order_id, version + 1))[: max(0, last - version)]

    def _apply(self, events: Mapping[str, Sequence[Event]]) -> None:
        # Types that are unknown before an order begins leave no row, so that it begins anew.
        whole = {
            id_: self._store.read_aggregate(id_)[: of[-1].version]
            if id_ not in rows.versions([id_])
            else of
            for id_, of in events.items()
        }
        committed("queries", lambda: self._projector.apply(whole))


def stored() -> dict[str, OrderView]:
    found = rows.stored(list(OrderRow.objects.values_list("order_id", flat=True)))
    return rows.with_items(found)


def assert_rows_are(views: Mapping[str, OrderView]) -> None:
    assert stored() == views
    assert OrderItemRow.objects.count() == sum(len(view.items) for view in views.values())
    sums: defaultdict[Any, list[int]] = defaultdict(lambda: [0, 0])
    for view in views.values():
        for key, (orders, amount) in contribution(view).items():
            sums[key][0] += orders
            sums[key][1] += amount
    for kind, model in COUNTED.items():
        found = {
            (kind, getattr(row, f"{kind}_id"), row.day, row.status, row.currency): [
                row.orders,
                int(row.amount_minor),
            ]
            for row in model._default_manager.exclude(orders=0, amount_minor=0)
        }
        assert found == {tuple(key): of for key, of in sums.items() if key.kind == kind}


def folded(store: InMemoryEventStore) -> dict[str, OrderView]:
    events = sorted(store.read_stream(), key=attrgetter("aggregate_id", "version"))
    of_orders = groupby(events, key=attrgetter("aggregate_id"))
    views = {order_id: fold_readable(history) for order_id, history in of_orders}
    return {order_id: view for order_id, view in views.items() if view}


@given(
    st.lists(st.lists(odd_events(), min_size=1, max_size=6), min_size=1, max_size=5),
    st.randoms(use_true_random=False),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_applied_as_they_come_or_all_at_once_the_rows_are_the_pure_fold(
    monkeypatch: pytest.MonkeyPatch, lives: Any, random: Random
) -> None:
    emptied()
    store = logged(lives, random)
    expected, events = folded(store), list(store.read_stream())
    subscriber, notices = Subscriber(store), [*events, *random.choices(events, k=len(events))]
    random.shuffle(notices)
    while notices:
        size = random.randint(1, len(notices))
        subscriber.take(notices[:size])
        del notices[:size]
    assert_rows_are(expected)
    monkeypatch.setattr(portions, "PORTION_EVENTS", random.randint(1, 9))
    monkeypatch.setattr(bulk, "COPY_ROWS", random.choice([1, 2, 100]))
    assert Rebuild(store, silently).run() == 0
    assert_rows_are(expected)
    emptied()
    Rebuild(store, silently).run()
    assert_rows_are(expected)


def test_an_order_whose_money_is_beyond_every_column_stops_no_rebuild_and_no_other_order() -> None:
    store = InMemoryEventStore(aggregate_events=10_000)
    most = {"amount": "10000000000000.00", "currency": "EUR"}
    append(store, "order-1", "order-created")
    debit = NewEvent(
        event_id=uuid4(),
        event_type="order-payment-debited",
        aggregate_id="order-1",
        aggregate_type="order",
        data=to_json(most),
    )
    fitting = (2**63 - 1) // 10**15
    for _ in range(fitting + 2):
        store.append([NewEvent(**{**vars(debit), "event_id": uuid4()})])
    append(store, "order-2", "order-created")
    Rebuild(store, silently).run()
    assert {id_: view.version for id_, view in stored().items()} == {
        "order-1": 1 + fitting,
        "order-2": 1,
    }
    assert_rows_are(folded(store))
