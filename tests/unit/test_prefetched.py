"""A history that was read before answers one read, for a moment; everything else is the store's."""

import time

import pytest

from eventstore.client.events import Event
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.subscribing.prefetched import FRESH_SECONDS, PrefetchedEventStore
from tests.contract.new_events import new_event


@pytest.fixture
def store() -> InMemoryEventStore:
    store = InMemoryEventStore()
    store.append([new_event("a"), new_event("a")])
    store.append([new_event("b")])
    return store


def versions(events: list[Event]) -> list[int]:
    return [event.version for event in events]


def prefetched(store: InMemoryEventStore, seconds_ago: float = 0.0) -> PrefetchedEventStore:
    """With the history of `a` as it is now; the store goes on by one event after that."""
    history = store.read_aggregate("a")
    store.append([new_event("a")])
    return PrefetchedEventStore(store, history, time.monotonic() - seconds_ago)


def test_the_first_read_is_answered_from_the_history_and_the_second_is_fresh(store) -> None:
    reading = prefetched(store)
    assert versions(reading.read_aggregate("a")) == [1, 2]
    assert versions(reading.read_aggregate("a")) == [1, 2, 3]


def test_a_read_from_a_version_on_has_no_earlier_ones(store) -> None:
    assert versions(prefetched(store).read_aggregate("a", 2)) == [2]


def test_another_aggregate_is_read_from_the_store(store) -> None:
    assert versions(prefetched(store).read_aggregate("b")) == [1]


def test_a_history_that_is_long_past_is_not_used(store) -> None:
    assert versions(prefetched(store, FRESH_SECONDS).read_aggregate("a")) == [1, 2, 3]


def test_after_an_append_everything_is_fresh(store) -> None:
    reading = prefetched(store)
    reading.append([new_event("a")])
    assert versions(reading.read_aggregate("a")) == [1, 2, 3, 4]


def test_no_history_is_no_answer(store) -> None:
    empty = PrefetchedEventStore(store, [], time.monotonic())
    assert versions(empty.read_aggregate("a")) == [1, 2]
