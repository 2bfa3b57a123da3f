"""The load-fold-decide-append loop, on the store in memory."""

from uuid import uuid4

import pytest

from eventstore.client import EventIdConflict, NewEvent, VersionConflict, execute
from eventstore.client.execute import ATTEMPTS
from eventstore.client.memory import InMemoryEventStore
from tests.contract.new_events import new_event, new_events


@pytest.fixture
def store() -> InMemoryEventStore:
    return InMemoryEventStore()


class Interfered(InMemoryEventStore):
    """A store in which others append just before this many of our appends."""

    def __init__(self, times: int, *, event: NewEvent | None = None) -> None:
        super().__init__()
        self.times, self.event = times, event

    def append(self, events, expected_version=None):
        if self.times:
            self.times -= 1
            super().append([self.event or new_event("a")])
        return super().append(events, expected_version)


def test_a_decision_is_taken_on_the_history_and_appended(store):
    store.append(new_events(2, "a"))
    event = new_event("a")
    seen: list[int] = []

    executed = execute(store, "a", lambda history: seen.append(len(history)) or [event])

    assert seen == [2]
    assert (len(executed.history), executed.version) == (2, 3)
    assert list(executed.events) == [event]
    assert store.read_aggregate("a")[-1].event_id == event.event_id


def test_nothing_decided_means_nothing_appended(store):
    store.append([new_event("a")])

    executed = execute(store, "a", lambda history: [])

    assert (list(executed.events), executed.version) == ([], 1)
    assert store.head().position == 1


def test_a_conflict_is_decided_again_on_what_happened_meanwhile():
    store = Interfered(times=2)
    seen: list[int] = []

    executed = execute(store, "a", lambda history: seen.append(len(history)) or [new_event("a")])

    assert seen == [0, 1, 2]
    assert executed.version == 3


def test_a_decision_that_always_comes_too_late_is_given_up():
    store = Interfered(times=1000)

    with pytest.raises(VersionConflict):
        execute(store, "a", lambda history: [new_event("a")])
    assert store.head().position == ATTEMPTS


def test_a_fact_is_appended_whatever_happened_meanwhile():
    store = Interfered(times=1)
    seen: list[int] = []

    executed = execute(
        store, "a", lambda history: seen.append(len(history)) or [new_event("a")], guarded=False
    )

    assert seen == [0]
    assert executed.version == 2


def test_a_decision_that_got_through_before_is_answered_with_its_stored_events(store):
    event = new_event("a", data='{"outcome":"first"}')
    store.append([event])

    executed = execute(
        store, "a", lambda history: [new_event("a", event_id=event.event_id, data='"second"')]
    )

    assert [stored.data for stored in executed.events] == ['{"outcome":"first"}']
    assert store.head().position == 1


def test_the_same_reaction_elsewhere_at_the_same_moment_wins_once():
    first = new_event("a", data='{"by":"them"}')
    store = Interfered(times=1, event=first)

    executed = execute(
        store, "a", lambda history: [new_event("a", event_id=first.event_id, data='{"by":"us"}')]
    )

    assert [stored.data for stored in executed.events] == ['{"by":"them"}']
    assert store.head().position == 1


def test_an_event_id_that_another_aggregate_has_is_an_error(store):
    taken = new_event("b", event_id=uuid4())
    store.append([taken])

    with pytest.raises(EventIdConflict):
        execute(store, "a", lambda history: [new_event("a", event_id=taken.event_id)])


def test_what_the_decision_raises_comes_out(store):
    def refuse(history):
        raise LookupError("no such order")

    with pytest.raises(LookupError):
        execute(store, "a", refuse)
    assert store.head().position == 0
