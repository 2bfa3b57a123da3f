"""NATS keeps only the last events: what it has not, subscriptions read from the log."""

import logging

import pytest

from eventstore.client import Event, TransientError
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.subscription import Reactor
from eventstore.publishing.jetstream import find
from tests.integration.broker import STREAM, Broker
from tests.integration.handlers import Failing, Ledger, Reactions
from tests.integration.messaging import (
    Publish,
    State,
    Subscribe,
    checkpoint,
    fill,
    followed,
    logged_ids,
    said,
)
from tests.together import eventually

pytest_plugins = ["tests.integration.messaging"]
pytestmark = [
    pytest.mark.usefixtures("impatient"),
    pytest.mark.django_db(databases=["payments"], transaction=True),
]

KEEP = 10
# Every event of an order of its own: nothing that comes later can make up for a missing one.
MANY = 1_000_000


def grow(log: InMemoryEventStore, count: int) -> None:
    fill(log, count, orders=MANY)


def extent(broker: Broker) -> tuple[int, int]:
    """The first and the last position that the stream has; (0, -1) without a stream."""
    info = broker.ask(lambda connection: find(connection, STREAM))
    return (info.state.first_seq, info.state.last_seq) if info else (0, -1)


def kept(broker: Broker, log: InMemoryEventStore, keep: int = KEEP) -> None:
    """Wait until the stream has the log's last events and none before."""
    head = log.head().position
    first = max(1, head - keep + 1)
    eventually(lambda: extent(broker) == (first, head), timeout=20)
    assert broker.ids(first) == logged_ids(log)[first - 1 :]


def created(broker: Broker) -> object:
    return broker.js(lambda js: js.stream_info(STREAM)).created


def reacted(reactions: Reactions, log: InMemoryEventStore) -> None:
    eventually(lambda: len({event.position for event in reactions.seen}) == log.head().position)


def test_a_stream_begins_where_the_last_events_begin_and_sheds_the_oldest(
    broker: Broker, log: InMemoryEventStore, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    grow(log, 50)
    publish(keep=KEEP)
    kept(broker, log)
    grow(log, 25)
    kept(broker, log)
    assert not said(caplog, logging.WARNING, "")


def test_a_trimmed_stream_is_continued_and_a_wiped_one_begins_late_again(
    broker: Broker, log: InMemoryEventStore, publish: Publish
) -> None:
    grow(log, 30)
    publish(keep=KEEP)
    kept(broker, log)
    made = created(broker)
    broker.kill()
    broker.server.start()
    grow(log, 30)
    kept(broker, log)
    assert created(broker) == made
    broker.wipe()
    kept(broker, log)


def test_keeping_fewer_trims_and_keeping_more_refills(
    broker: Broker, log: InMemoryEventStore, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    grow(log, 60)
    for keep in (0, 20, KEEP):
        publisher = publish(keep=keep)
        kept(broker, log, keep or 60)
        publisher.stop()
    assert not said(caplog, logging.WARNING, "differs from the log")
    for keep in (20, 0):
        publisher = publish(keep=keep)
        kept(broker, log, keep or 60)
        publisher.stop()
        assert said(caplog, logging.WARNING, "differs from the log, it begins at 51")[-1:]
        metadata = broker.js(lambda js: js.stream_info(STREAM)).config.metadata
        assert metadata is not None
        assert metadata["refilled_from"] == "61"


def test_a_new_subscription_gets_what_nats_keeps_no_more(
    broker: Broker, log: InMemoryEventStore, publish: Publish, subscribe: Subscribe
) -> None:
    grow(log, 700)
    publish(keep=KEEP)
    kept(broker, log)
    ledger = Ledger()
    subscribe(ledger)
    followed(ledger, log)
    grow(log, 5)
    followed(ledger, log)
    eventually(lambda: checkpoint() == 705)


def test_a_reactor_gets_what_nats_keeps_no_more(
    broker: Broker, log: InMemoryEventStore, publish: Publish, subscribe: Subscribe
) -> None:
    grow(log, 300)
    publish(keep=KEEP)
    kept(broker, log)
    reactions = Reactions()
    subscribe(Reactor({"order-created": reactions}))
    reacted(reactions, log)
    eventually(lambda: checkpoint() == 300)


def test_a_subscription_that_was_away_while_the_stream_was_trimmed_misses_nothing(
    broker: Broker, log: InMemoryEventStore, publish: Publish, subscribe: Subscribe
) -> None:
    publish(keep=KEEP)
    reactions = Reactions()
    reactor = Reactor({"order-created": reactions})
    grow(log, 5)
    worker = subscribe(reactor)
    reacted(reactions, log)
    eventually(lambda: checkpoint() == 5)
    worker.stop()
    grow(log, 100)
    kept(broker, log)
    subscribe(reactor)
    reacted(reactions, log)
    eventually(lambda: checkpoint() == 105)


def test_a_subscription_that_is_overtaken_at_work_misses_nothing(
    broker: Broker, log: InMemoryEventStore, publish: Publish, subscribe: Subscribe
) -> None:
    """The stream is trimmed under a worker that stands still at its first event."""
    publish(keep=KEEP)
    failing = Failing(TransientError("away"), lambda event: True)
    ledger = Ledger(before=failing)
    subscribe(ledger)
    grow(log, 5)
    eventually(lambda: failing.raised)
    for _ in range(4):
        grow(log, 25)
        kept(broker, log)
    failing.mended = True
    followed(ledger, log)
    eventually(lambda: checkpoint() == 105)


def test_a_poisonous_event_that_nats_keeps_no_more_is_parked_and_the_rest_goes_on(
    broker: Broker, log: InMemoryEventStore, publish: Publish, subscribe: Subscribe, settings
) -> None:
    settings.SUBSCRIPTION_ATTEMPTS = 2
    grow(log, 40)
    publish(keep=KEEP)
    kept(broker, log)

    def is_poison(event: Event) -> bool:
        return event.position == 7

    reactions = Reactions(before=Failing(RuntimeError("poison"), is_poison))
    worker = subscribe(Reactor({"order-created": reactions}))
    eventually(lambda: checkpoint() == 40)
    assert {event.position for event in reactions.seen} == set(range(1, 41)) - {7}
    worker.stop()
    (row,) = worker.subscriber._subscription.parked.objects.all()
    assert (row.position, row.state) == (7, State.PARKED)
