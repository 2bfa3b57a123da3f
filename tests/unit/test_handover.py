"""Committed events reach the publisher without being read again, or not at all."""

import pytest

from eventstore.client.events import Event
from eventstore.client.memory import InMemoryEventStore
from eventstore.publishing import handover
from eventstore.publishing.handover import Handover
from tests.contract.new_events import new_event


@pytest.fixture
def events() -> list[Event]:
    store = InMemoryEventStore()
    for number in range(20):
        store.append([new_event(f"a-{number}")])
    return list(store.read_stream())


def positions(taken: list[Event]) -> list[int]:
    return [event.position for event in taken]


def test_what_is_offered_is_taken_in_order_up_to_the_bound(events: list[Event]) -> None:
    between = Handover()
    between.offer(events[:3])
    between.offer(events[3:5])
    assert positions(between.take(0, 4)) == [1, 2, 3, 4]
    assert positions(between.take(4, 4)) == [5]
    assert between.take(5, 4) == []
    assert between.newest == 5


def test_what_was_published_meanwhile_is_passed_over(events: list[Event]) -> None:
    between = Handover()
    between.offer(events[:6])
    assert positions(between.take(4, 10)) == [5, 6]


def test_a_gap_is_left_to_the_log(events: list[Event]) -> None:
    between = Handover()
    between.offer(events[:2])
    between.offer(events[5:7])
    assert between.take(0, 10) == []
    assert between.take(2, 10) == []
    assert positions(between.take(5, 10)) == [6, 7]


def test_a_publisher_behind_what_is_here_gets_nothing(events: list[Event]) -> None:
    between = Handover()
    between.offer(events[5:7])
    assert between.take(3, 10) == []
    assert positions(between.take(5, 10)) == [6, 7]


def test_what_does_not_fit_is_left_to_the_log(
    events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "MAX_EVENTS", 4)
    between = Handover()
    between.offer(events[:5])
    assert between.take(0, 10) == []
    between.offer(events[5:7])
    assert positions(between.take(5, 10)) == [6, 7]
