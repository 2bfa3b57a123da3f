"""A reactor that meets an aggregate with more events than one may have."""

from collections.abc import Iterator, Sequence

import pytest

from eventstore.client import Event
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.subscribing.delivery import Done
from eventstore.client.subscribing.parking import request_retry
from payments.models import ParkedMessage
from tests.contract.new_events import new_event
from tests.integration.desks import (
    all_done,
    deliveries,
    delivery,
    desk,
    fill,
    handled,
    reactor,
    the_row,
)
from tests.integration.handlers import Reactions
from tests.integration.messaging import State

pytestmark = pytest.mark.django_db(databases=["payments"], transaction=True)

BOUND = 100


class CountingStore(InMemoryEventStore):
    """Counts the events that are read of aggregates."""

    read = 0

    def read_many(self, aggregates: Sequence[tuple[str, int]]) -> Iterator[Event]:
        for event in super().read_many(aggregates):
            self.read += 1
            yield event


@pytest.fixture
def log(settings) -> CountingStore:
    """A log from before there was a bound: "endless" is longer than a reactor takes on."""
    settings.EVENTSTORE_AGGREGATE_EVENTS = BOUND
    log = CountingStore(aggregate_events=100_000)
    fill(log, "before")
    for _ in range(50):
        log.append([new_event("endless", event_type="order-created") for _ in range(BOUND)])
    fill(log, "honest")
    return log


def test_it_is_parked_at_once_and_no_other_waits_for_it(log: CountingStore) -> None:
    reaction = Reactions()
    work = desk(log, reactor(reaction))
    first, *endless, last = deliveries(log)
    assert all_done(handled(work, [first, *endless[:30], last]))
    row = the_row()
    assert (row.aggregate_id, row.from_version, row.state) == ("endless", 1, State.PARKED)
    assert (row.error, row.attempts) == (
        f"TooManyEvents: the aggregate has more than {BOUND} events",
        1,
    )
    assert {aggregate_id for aggregate_id, _ in reaction.versions} == {"before", "honest"}
    assert log.read <= BOUND + 5


def test_its_later_notices_pass_without_a_read(log: CountingStore) -> None:
    work = desk(log, reactor(Reactions()))
    messages = deliveries(log)
    handled(work, messages[1:31])
    log.read = 0
    for start in range(31, 5_001, 30):
        assert all_done(handled(work, messages[start : start + 30]))
    assert log.read <= 1


def test_a_retry_reads_no_more_of_it_than_the_bound(log: CountingStore) -> None:
    work = desk(log, reactor(Reactions()))
    handled(work, deliveries(log)[1:31])
    request_retry(ParkedMessage, [the_row().pk])
    log.read = 0
    assert work.retry()
    assert (the_row().state, the_row().attempts) == (State.PARKED, 2)
    assert log.read == BOUND + 1


def test_a_retry_goes_on_with_it_once_the_bound_is_raised(log: CountingStore, settings) -> None:
    handled(desk(log, reactor(Reactions())), deliveries(log)[1:31])
    request_retry(ParkedMessage, [the_row().pk])
    settings.EVENTSTORE_AGGREGATE_EVENTS = 5_000
    reaction = Reactions()
    assert desk(log, reactor(reaction)).retry()
    assert the_row().state == State.RESOLVED
    assert len(reaction.seen) == 5_000


def test_an_aggregate_that_is_just_full_is_reacted_to(log: CountingStore) -> None:
    log.append([new_event("full", event_type="order-created") for _ in range(BOUND)])
    reaction = Reactions()
    last = list(log.read_stream())[-1]
    settled = handled(desk(log, reactor(reaction)), [delivery(log, last)])
    assert settled == {last.position: Done()}
    assert reaction.versions == [("full", BOUND)]
