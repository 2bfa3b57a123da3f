"""The fold from an order's events to its row."""

from dataclasses import replace
from datetime import date
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore.client import UnknownSchemaVersion, to_json
from eventstore.client.memory import InMemoryEventStore
from queries.messages import Item, MalformedEvent
from queries.projections import SummaryKey, apply, contribution, fold, fold_readable
from tests.expected_orders import (
    CLIENTS,
    CREATED,
    append,
    append_history,
    expected_row,
    histories,
    place,
)


def folded(*types):
    """The view of an order that was created and then had events of these types."""
    store = InMemoryEventStore()
    order_id = place(store)
    for event_type in types:
        append(store, order_id, event_type)
    return fold(store.read_aggregate(order_id))


def test_a_created_order_is_pending_with_everything_its_readers_need():
    store = InMemoryEventStore()
    order_id = place(store)
    view = fold(store.read_aggregate(order_id))
    assert (view.order_id, view.api_client) == (order_id, CLIENTS[0])
    assert (view.customer_id, view.restaurant_id) == ("customer-1", "pizza-roma")
    assert (view.status, view.payment_status, view.reason) == ("pending", "none", "")
    assert (view.amount_minor, view.currency) == (2550, "EUR")
    assert view.items == (Item("M1", "Margherita", 1250, 2), Item("W2", "Water", 50, 1))
    assert view.created_on.isoformat() == "2026-03-01T12:00:00.250000+00:00"
    assert (view.version, view.position) == (1, 1)


@pytest.mark.parametrize(
    ("types", "status", "payment_status"),
    [
        (["payment-debited"], "paid", "debited"),
        (["payment-failed"], "pending", "failed"),
        (["payment-failed", "rejected"], "rejected", "failed"),
        (["payment-debited", "approved"], "approved", "debited"),
        (["payment-debited", "approved", "shipped"], "shipped", "debited"),
        (["payment-debited", "approved", "shipped", "delivered"], "delivered", "debited"),
        (["payment-debited", "approved", "delivered"], "approved", "debited"),
        (["payment-debited", "rejected"], "rejected", "debited"),
        (["payment-debited", "rejected", "payment-refunded"], "rejected", "refunded"),
        (["payment-debited", "cancelled", "payment-refunded"], "cancelled", "refunded"),
        (["cancelled"], "cancelled", "none"),
    ],
)
def test_each_event_moves_the_order_as_designed(types, status, payment_status):
    view = folded(*(f"order-{name}" for name in types))
    assert (view.status, view.payment_status) == (status, payment_status)
    assert view.version == 1 + len(types)


@pytest.mark.parametrize("end", ["rejected", "cancelled"])
def test_late_money_changes_the_payment_only(end):
    view = folded(f"order-{end}", "order-payment-debited")
    assert (view.status, view.payment_status) == (end, "debited")
    view = folded(f"order-{end}", "order-payment-debited", "order-payment-refunded")
    assert (view.status, view.payment_status, view.refunded_minor) == (end, "refunded", 2550)


def test_a_debit_outweighs_an_earlier_and_a_later_failure():
    debited = folded("order-payment-failed", "order-payment-debited", "order-payment-failed")
    assert debited.payment_status == "debited"


def test_refunds_add_up_from_partial_to_whole():
    store = InMemoryEventStore()
    order_id = place(store)
    append(store, order_id, "order-payment-debited")
    refund = {"amount": "10.00", "currency": "EUR"}
    append(store, order_id, "order-payment-refunded", refund)
    assert fold(store.read_aggregate(order_id)).payment_status == "partially_refunded"
    append(store, order_id, "order-payment-refunded", refund | {"amount": "15.50"})
    assert fold(store.read_aggregate(order_id)).payment_status == "refunded"


@pytest.mark.parametrize(
    ("types", "status"),
    [
        (["approved"], "pending"),
        (["shipped"], "pending"),
        (["payment-debited", "shipped"], "paid"),
        (["payment-debited", "approved", "rejected"], "approved"),
        (["payment-debited", "approved", "cancelled"], "approved"),
        (["rejected", "cancelled"], "rejected"),
        (["cancelled", "rejected"], "cancelled"),
        (["rejected", "approved"], "rejected"),
        (["payment-debited", "approved", "shipped", "delivered", "shipped"], "delivered"),
    ],
)
def test_an_illegal_transition_advances_the_version_only(types, status):
    view = folded(*(f"order-{name}" for name in types))
    assert (view.status, view.version) == (status, 1 + len(types))


def test_the_first_closing_event_gives_the_reason():
    assert folded("order-rejected", "order-cancelled").reason == "payment-timeout"
    assert folded("order-cancelled", "order-rejected").reason == "changed my mind"


def test_a_second_creation_changes_nothing_but_the_version():
    once, twice = folded(), folded("order-created")
    assert (twice.customer_id, twice.items, twice.version) == (once.customer_id, once.items, 2)


def test_an_unknown_type_advances_version_position_and_time_only():
    before, after = folded(), folded("order-scented")
    assert (before.status, before.version, before.position) == ("pending", 1, 1)
    assert (after.status, after.version, after.position) == ("pending", 2, 2)


@pytest.mark.parametrize("event_type", ["order-scented", "order-approved", "order-payment-debited"])
def test_nothing_happens_to_an_order_before_it_is_created(event_type):
    store = InMemoryEventStore()
    event = append(store, str(uuid4()), event_type)
    assert apply(None, event) is None
    append(store, event.aggregate_id, "order-created")
    view = fold(store.read_aggregate(event.aggregate_id))
    assert (view.status, view.payment_status, view.version) == ("pending", "none", 2)


@pytest.mark.parametrize("schema_version", [2, 999, 0, "1", True, None])
def test_a_known_type_of_an_unknown_schema_is_refused(schema_version):
    store = InMemoryEventStore()
    order_id = place(store)
    append(store, order_id, "order-approved", schema_version=schema_version)
    with pytest.raises(UnknownSchemaVersion):
        fold(store.read_aggregate(order_id))


def test_an_unknown_type_of_an_unknown_schema_is_passed_over():
    store = InMemoryEventStore()
    order_id = place(store)
    append(store, order_id, "order-scented", schema_version=999)
    assert fold(store.read_aggregate(order_id)).version == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": None},
        {"amount": 25.5},
        {"amount": "25.505"},
        {"amount": "-1.00"},
        {"amount": "1e3"},
        {"currency": "XXX"},
        {"customer_id": ""},
        {"customer_id": "c" * 256},
        {"customer_id": "a\x00b"},
        {"restaurant_id": 7},
        {"created_on": "yesterday"},
        {"created_on": "2026-03-01T12:00:00"},
        {"created_on": "0001-01-01T00:00:00+23:59"},
        {"order_items": None},
        {"order_items": ["pizza"]},
        {"order_items": [{"code": "M1", "name": "M", "unit_price": "1.00", "quantity": 0}]},
        {"order_items": [{"code": "M1", "name": "M", "unit_price": "1.00", "quantity": True}]},
        {"order_items": [{"code": "M1", "name": "M", "unit_price": "1.00", "quantity": 1.5}]},
        {"order_items": [{"code": "M1", "name": "\ud800", "unit_price": "1.00", "quantity": 1}]},
        {"order_items": [{"code": "M1", "name": "M", "unit_price": 1, "quantity": 1}]},
    ],
)
def test_a_malformed_creation_is_refused(wrong):
    with pytest.raises(MalformedEvent):
        apply(None, creation_with(to_json(CREATED | wrong)))


@pytest.mark.parametrize("data", ['"text"', "[]", "not json", "[" * 100_000])
def test_data_that_is_no_object_is_refused(data):
    with pytest.raises(MalformedEvent):
        apply(None, creation_with(data))


def creation_with(data):
    """An `order-created` with this data, whether or not a log would take it."""
    event = append(InMemoryEventStore(), str(uuid4()), "order-created")
    return replace(event, data=data)


def test_what_can_be_read_is_folded_up_to_the_first_event_that_can_not():
    store = InMemoryEventStore()
    order_id = place(store)
    append(store, order_id, "order-payment-debited")
    append(store, order_id, "order-approved", schema_version=2)
    append(store, order_id, "order-shipped")
    view = fold_readable(store.read_aggregate(order_id))
    assert (view.status, view.version) == ("paid", 2)


def test_an_order_contributes_once_to_its_customer_and_once_to_its_restaurant():
    day = date(2026, 3, 1)
    assert contribution(folded("order-payment-debited")) == {
        SummaryKey("customer", "customer-1", day, "paid", "EUR"): (1, 2550),
        SummaryKey("restaurant", "pizza-roma", day, "paid", "EUR"): (1, 2550),
    }
    assert contribution(None) == {}


@given(histories(), st.integers(0, 8))
@settings(max_examples=200, deadline=None)
def test_any_history_gives_the_row_that_independent_code_expects(types, split):
    events = append_history(InMemoryEventStore(), str(uuid4()), types)
    view = fold(events)
    assert fold(events[split:], fold(events[:split])) == view
    expected = expected_row(events)
    if expected is None:
        assert view is None
    else:
        row = view._asdict()
        assert len(row.pop("items")) == 2
        assert row == expected
