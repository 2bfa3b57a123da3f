"""The checkers of invariants: right histories pass, and each kind of damage is seen."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from eventstore.client import Event
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.notice import headers_of, subject_of
from tests.chaos.customers import Request
from tests.chaos.judging import check_ends, check_requests
from tests.e2e import invariants
from tests.expected_orders import CLIENTS, CREATED, append, place
from tests.integration.broker import Stored

BODY = {
    "customer_id": CREATED["customer_id"],
    "restaurant_id": CREATED["restaurant_id"],
    "order_items": [{"code": "M1", "name": "Margherita", "unit_price": "12.75", "quantity": 2}],
}


@pytest.fixture
def store() -> InMemoryEventStore:
    """Two orders: one paid and approved, one cancelled and its money given back."""
    store = InMemoryEventStore()
    first, second = (place(store, order_items=BODY["order_items"]) for _ in range(2))
    for order_id, types in (
        (first, ("order-payment-debited", "order-approved")),
        (second, ("order-payment-debited", "order-cancelled", "order-payment-refunded")),
    ):
        for event_type in types:
            append(store, order_id, event_type)
    return store


@pytest.fixture
def log(store: InMemoryEventStore) -> list[Event]:
    return list(store.read_stream())


LOG_DAMAGE: dict[str, Callable[[list[Event]], list[Event]]] = {
    "an event edited": lambda log: [log[0], replace(log[1], data='{"amount":"1.00"}'), *log[2:]],
    "an event deleted": lambda log: [*log[:2], *log[3:]],
    "an event twice": lambda log: [*log[:2], log[1], *log[2:]],
    "two events swapped": lambda log: [log[1], log[0], *log[2:]],
    "an id twice": lambda log: [*log[:-1], replace(log[-1], event_id=log[0].event_id)],
    "a version skipped": lambda log: [*log[:-1], replace(log[-1], version=9)],
    "a metadata edited": lambda log: [replace(log[0], metadata="{}"), *log[1:]],
}


def test_a_right_log_passes(log: list[Event]) -> None:
    invariants.check_log(log)
    invariants.check_causes(log)
    invariants.check_orders(log)
    check_ends(log)


@pytest.mark.parametrize("damage", LOG_DAMAGE)
def test_a_damaged_log_is_seen(log: list[Event], damage: str) -> None:
    with pytest.raises(AssertionError):
        invariants.check_log(LOG_DAMAGE[damage](log))


def test_an_effect_before_its_cause_is_seen(store: InMemoryEventStore, log: list[Event]) -> None:
    append(store, place(store), "order-scented", causation_id=str(log[0].event_id))
    invariants.check_causes(list(store.read_stream()))
    later = log[-1]
    log[0] = replace(log[0], metadata=f'{{"causation_id":"{later.event_id}"}}')
    with pytest.raises(AssertionError):
        invariants.check_causes(log)


def messages(store: InMemoryEventStore) -> list[Stored]:
    log_id = store.head().log_id
    return [
        Stored(
            event.position,
            subject_of(event.stream, event.event_type),
            headers_of(event, log_id),
            event.data.encode(),
        )
        for event in store.read_stream()
    ]


STREAM_DAMAGE: dict[str, Callable[[list[Stored]], list[Stored]]] = {
    "a tail missing": lambda told: told[:-1],
    "a message too many": lambda told: [*told, replace(told[-1], sequence=len(told) + 1)],
    "a foreign message": lambda told: [*told[:-1], replace(told[-1], headers={})],
    "other data": lambda told: [replace(told[0], data=b"{}"), *told[1:]],
    "another subject": lambda told: [replace(told[0], subject="ORDERS.x"), *told[1:]],
    "another order": lambda told: [told[1], told[0], *told[2:]],
}


def test_the_logs_own_stream_passes(store: InMemoryEventStore, log: list[Event]) -> None:
    invariants.check_stream(log, messages(store), store.head().log_id)


@pytest.mark.parametrize("damage", STREAM_DAMAGE)
def test_a_stream_that_is_not_the_log_is_seen(store, log: list[Event], damage: str) -> None:
    with pytest.raises(AssertionError):
        invariants.check_stream(log, STREAM_DAMAGE[damage](messages(store)), store.head().log_id)


def test_a_stream_of_another_log_is_seen(store, log: list[Event]) -> None:
    with pytest.raises(AssertionError):
        invariants.check_stream(log, messages(store), uuid4())


def movements(log: list[Event]) -> list[dict[str, Any]]:
    kinds = {"order-payment-debited": "capture", "order-payment-refunded": "refund"}
    return [
        {
            "kind": kinds[event.event_type],
            "order_id": event.aggregate_id,
            "amount": 2550,
            "currency": "eur",
        }
        for event in log
        if event.event_type in kinds
    ]


MONEY_DAMAGE: dict[str, Callable[[list[dict[str, Any]]], list[dict[str, Any]]]] = {
    "a second capture": lambda moves: [*moves, moves[0]],
    "a second refund": lambda moves: [*moves, moves[-1]],
    "a capture missing": lambda moves: moves[1:],
    "a refund missing": lambda moves: moves[:-1],
    "a cent too much": lambda moves: [moves[0] | {"amount": 2551}, *moves[1:]],
    "another currency": lambda moves: [moves[0] | {"currency": "CHF"}, *moves[1:]],
    "another order's": lambda moves: [moves[0] | {"order_id": "x"}, *moves[1:]],
}


def test_money_that_agrees_passes(log: list[Event]) -> None:
    invariants.check_money(log, movements(log))


@pytest.mark.parametrize("damage", MONEY_DAMAGE)
def test_money_that_does_not_agree_is_seen(log: list[Event], damage: str) -> None:
    with pytest.raises(AssertionError):
        invariants.check_money(log, MONEY_DAMAGE[damage](movements(log)))


def test_a_closed_order_that_keeps_its_money_is_seen(log: list[Event]) -> None:
    kept = [event for event in log if event.event_type != "order-payment-refunded"]
    with pytest.raises(AssertionError):
        invariants.check_money(kept, movements(kept))
    with pytest.raises(AssertionError):
        check_ends(kept)


@pytest.mark.parametrize("event_type", ["order-payment-debited", "order-approved"])
def test_an_effect_twice_or_out_of_turn_is_seen(
    store: InMemoryEventStore, log: list[Event], event_type: str
) -> None:
    for event in (log[0], log[1]):
        append(store, event.aggregate_id, event_type)
    with pytest.raises(AssertionError):
        invariants.check_orders(list(store.read_stream()))


def test_an_order_without_an_end_is_seen(store: InMemoryEventStore) -> None:
    place(store)
    with pytest.raises(AssertionError):
        check_ends(list(store.read_stream()))


@pytest.fixture
def placed() -> tuple[list[Event], Request]:
    """An order as its customer was told of it."""
    store = InMemoryEventStore()
    append(
        store,
        order_id := str(uuid4()),
        "order-created",
        CREATED | {"order_id": order_id, "amount": "25.50", "order_items": BODY["order_items"]},
        api_client=str(CLIENTS[0]),
        idempotency_key="key-1",
    )
    request = Request("key-1", dict(BODY), [(201, {"order_id": order_id})] * 2)
    return list(store.read_stream()), request


def test_an_order_that_stands_as_it_was_acknowledged_passes(placed) -> None:
    log, request = placed
    check_requests(log, [request, Request("never acknowledged", dict(BODY))])


REQUEST_DAMAGE: dict[str, Callable[[Request], Request]] = {
    "it stands with other content": lambda r: replace(r, body=r.body | {"customer_id": "other"}),
    "it was told another id": lambda r: replace(r, answers=[(201, {"order_id": "x"})]),
    "it got two answers": lambda r: replace(r, answers=[*r.answers, (201, {"order_id": "x"})]),
    "its key passed for other content": lambda r: replace(r, refusals=[201]),
    "its cancellation was lost": lambda r: replace(r, cancellations=[(200, {})]),
    "nobody asked for it": lambda r: replace(r, key="key-2", answers=[]),
}


@pytest.mark.parametrize("damage", REQUEST_DAMAGE)
def test_an_answer_that_the_log_contradicts_is_seen(placed, damage: str) -> None:
    log, request = placed
    with pytest.raises(AssertionError):
        check_requests(log, [REQUEST_DAMAGE[damage](request)])


def test_an_acknowledged_order_that_is_lost_is_seen(placed) -> None:
    with pytest.raises(AssertionError):
        check_requests([], [placed[1]])


def test_a_key_with_two_orders_is_seen(placed) -> None:
    log, request = placed
    with pytest.raises(AssertionError):
        check_requests([*log, replace(log[0], aggregate_id="another")], [request])
