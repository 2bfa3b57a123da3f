"""Committed events reach the publisher without being read again, or not at all."""

import pytest

from eventstore.client.events import Event, NewEvent
from eventstore.client.memory import InMemoryEventStore
from eventstore.publishing import handover
from eventstore.publishing.facts import LogReplaced
from eventstore.publishing.handover import Handover
from tests.contract.new_events import new_event

FIELDS = NewEvent.__dataclass_fields__


@pytest.fixture
def events() -> list[Event]:
    store = InMemoryEventStore()
    for number in range(20):
        store.append([new_event(f"a-{number}")])
    return list(store.read_stream())


def positions(taken: list[Event]) -> list[int]:
    return [event.position for event in taken]


def id_of(event: Event) -> str:
    return str(event.event_id)


def branch(events: list[Event], length: int) -> list[Event]:
    """A log that has the first of these events, then as many others."""
    store = InMemoryEventStore()
    for event in events[:length]:
        store.append([NewEvent(**{name: getattr(event, name) for name in FIELDS})])
    for number in range(length, len(events)):
        store.append([new_event(f"b-{number}")])
    return list(store.read_stream())


def test_what_is_offered_is_taken_in_order_up_to_the_bound(events: list[Event]) -> None:
    between = Handover()
    between.offer(events[:3])
    between.offer(events[3:5])
    assert positions(between.take(0, "", 4)) == [1, 2, 3, 4]
    assert positions(between.take(4, id_of(events[3]), 4)) == [5]
    assert between.take(5, id_of(events[4]), 4) == []
    assert between.newest == 5


def test_what_was_published_meanwhile_is_passed_over(events: list[Event]) -> None:
    between = Handover()
    between.offer(events[:6])
    assert positions(between.take(4, id_of(events[3]), 10)) == [5, 6]


def test_a_gap_is_left_to_the_log(events: list[Event]) -> None:
    between = Handover()
    between.offer(events[:2])
    between.offer(events[5:7])
    assert between.take(0, "", 10) == []
    assert between.take(2, id_of(events[1]), 10) == []
    assert between.take(5, id_of(events[4]), 10) == []
    assert positions(between.take(6, id_of(events[5]), 10)) == [7]


def test_a_publisher_behind_what_is_here_gets_nothing(events: list[Event]) -> None:
    between = Handover()
    between.offer(events[5:7])
    assert between.take(3, id_of(events[2]), 10) == []
    assert positions(between.take(6, id_of(events[5]), 10)) == [7]


def test_what_does_not_fit_is_left_to_the_log(
    events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "MAX_EVENTS", 4)
    between = Handover()
    between.offer(events[:5])
    assert between.take(0, "", 10) == []
    between.offer(events[5:7])
    assert positions(between.take(6, id_of(events[5]), 10)) == [7]


@pytest.mark.parametrize("lost", [1, 3, 5])
def test_what_follows_on_a_lost_end_is_not_handed_over(events: list[Event], lost: int) -> None:
    """The publisher has 10; the log lost some of these and has got further again."""
    between = Handover()
    between.offer(events[:10])
    assert len(between.take(0, "", 10)) == 10
    other = branch(events, 10 - lost)
    between.offer(other[10 - lost : 15])
    with pytest.raises(LogReplaced):
        between.take(10, id_of(events[9]), 10)
    assert id_of(other[9]) != id_of(events[9])


def test_a_commit_at_the_next_position_that_does_not_follow_is_left_to_the_log(
    events: list[Event],
) -> None:
    """Another server overtook the lost end, up to the very position where it was."""
    between = Handover()
    between.offer(events[:10])
    assert len(between.take(0, "", 10)) == 10
    between.offer(branch(events, 7)[10:12])
    assert between.take(10, id_of(events[9]), 10) == []
    assert between.newest == 12
