"""Subscribers that are stopped, take long, or end by themselves."""

import logging
import os
import signal
import threading

import pytest

from eventstore.client import subscriber
from eventstore.client.events import Event
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.subscriber import Subscriber
from eventstore.client.subscribing import binding, reporting
from eventstore.client.subscription import Reactor
from eventstore.publisher import Publisher
from payments.models import Checkpoint
from tests.integration.broker import STREAM, Broker
from tests.integration.handlers import Ledger, Reactions
from tests.integration.messaging import (
    NAME,
    Subscribe,
    Worker,
    checkpoint,
    fill,
    followed,
    said,
    subscription_of,
)
from tests.together import eventually

pytest_plugins = ["tests.integration.messaging"]
pytestmark = [
    pytest.mark.usefixtures("impatient"),
    pytest.mark.django_db(databases=["payments"], transaction=True),
]


def test_once_works_on_what_is_there_and_ends(
    log: InMemoryEventStore, publisher: Publisher, broker: Broker, subscribe: Subscribe
) -> None:
    fill(log, 300)
    eventually(lambda: broker.last() == 300)
    ledger = Ledger()
    worker = subscribe(ledger, once=True)
    worker.thread.join(15)
    assert not worker.thread.is_alive()
    followed(ledger, log, timeout=0.1)
    assert checkpoint() == 300


def test_sigterm_in_the_middle_of_a_batch_finishes_the_message_and_gives_back_the_rest(
    broker: Broker, log: InMemoryEventStore, publisher: Publisher
) -> None:
    fill(log, 50)
    eventually(lambda: broker.last() == 50)

    def terminate(event: Event) -> None:
        if event.position == 10:
            os.kill(os.getpid(), signal.SIGTERM)
            eventually(lambda: running._stopping.is_set())

    reactions = Reactions(terminate)
    running = Subscriber(
        subscription_of(Reactor({"order-created": reactions}), log),
        nats_url=broker.subscriber_url,
    )
    running.run()
    done = {event.position for event in reactions.seen}
    assert 10 in done
    # Those that other threads had in hand are finished as well; the rest of the 50 is not begun.
    assert len(done) < 50
    assert set(range(1, checkpoint() + 1)) <= done
    rest = Reactions()
    again = Worker(
        subscription_of(Reactor({"order-created": rest}), log), broker.subscriber_url, once=True
    )
    again.thread.join(20)
    assert done | {event.position for event in rest.seen} == set(range(1, 51))


def test_a_stopped_worker_leaves_its_messages_to_the_others_at_once(
    broker: Broker, log: InMemoryEventStore, publisher: Publisher, subscribe: Subscribe
) -> None:
    """Not only when the broker has given up waiting for acknowledgements."""
    fill(log, 100)
    eventually(lambda: broker.last() == 100)
    busy = threading.Event()
    go = threading.Event()

    def block(event: Event) -> None:
        busy.set()
        go.wait(20)

    begun = Reactions(block)
    first = subscribe(Reactor({"order-created": begun}))
    busy.wait(20)
    stopping = threading.Thread(target=first.stop)
    stopping.start()
    go.set()
    stopping.join(10)
    reactions = Reactions()
    subscribe(Reactor({"order-created": reactions}), worker="tests-2")
    eventually(lambda: len(begun.seen) + len(reactions.seen) >= 100, timeout=10)


def test_a_frozen_nats_does_not_keep_a_worker_from_stopping(
    broker: Broker, log: InMemoryEventStore, publisher: Publisher, subscribe: Subscribe
) -> None:
    fill(log, 5)
    ledger = Ledger()
    worker = subscribe(ledger)
    followed(ledger, log)
    broker.pause()
    try:
        worker.stop()
    finally:
        broker.unpause()


def test_a_stop_waits_not_for_ever_for_a_reaction_that_hangs(
    broker: Broker,
    log: InMemoryEventStore,
    publisher: Publisher,
    subscribe: Subscribe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscriber, "FINISH_SECONDS", 0.3)
    fill(log, 2)
    busy, go = threading.Event(), threading.Event()

    def hang(event: Event) -> None:
        busy.set()
        go.wait(30)

    worker = subscribe(Reactor({"order-created": Reactions(hang)}))
    busy.wait(20)
    try:
        worker.stop()
        assert worker.ended is False
    finally:
        go.set()


def test_a_message_that_takes_long_is_not_delivered_again_meanwhile(
    broker: Broker,
    log: InMemoryEventStore,
    publisher: Publisher,
    subscribe: Subscribe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(binding, "ACK_WAIT_SECONDS", 2.0)
    monkeypatch.setattr(subscriber, "ACK_WAIT_SECONDS", 2.0)
    fill(log, 3)
    went_by = threading.Event()

    def take_long(event: Event) -> None:
        if event.position == 1:
            went_by.wait(4.5)

    reactions = Reactions(take_long)
    for number in (1, 2):
        subscribe(Reactor({"order-created": reactions}), worker=f"tests-{number}")
    eventually(lambda: checkpoint() == 3)
    assert sorted(event.position for event in reactions.seen) == [1, 2, 3]
    info = broker.js(lambda js: js.consumer_info(STREAM, NAME))
    assert info.delivered.consumer_seq == 3


def test_a_liveness_line_says_how_far_it_is(
    log: InMemoryEventStore,
    publisher: Publisher,
    subscribe: Subscribe,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reporting, "BUSY_LINE_SECONDS", 0.2)
    caplog.set_level(logging.INFO)
    fill(log, 1_234)
    subscribe(Ledger())
    eventually(lambda: said(caplog, logging.INFO, "tests-1: 1,234 events applied, 0 behind"))


def test_what_a_killed_worker_had_in_hand_comes_to_its_successor_at_once(
    broker: Broker, log: InMemoryEventStore, publisher: Publisher, subscribe: Subscribe
) -> None:
    """Not only when the broker has given up waiting for its acknowledgements."""
    fill(log, 10)
    eventually(lambda: broker.last() == 10)
    reactions = Reactions()
    subscribe(Reactor({"order-created": reactions}), once=True).thread.join(15)
    fill(log, 5)
    eventually(lambda: broker.last() == 15)

    async def take(js):
        taken = await js.pull_subscribe_bind(NAME, STREAM)
        return len(await taken.fetch(5, timeout=5))

    assert broker.js(take) == 5
    subscribe(Reactor({"order-created": reactions}))
    eventually(lambda: len(reactions.seen) == 15, timeout=binding.ACK_WAIT_SECONDS / 2)


def test_after_a_restore_of_its_database_a_subscription_sees_again_what_it_lost(
    broker: Broker, log: InMemoryEventStore, publisher: Publisher, subscribe: Subscribe
) -> None:
    fill(log, 10)
    eventually(lambda: broker.last() == 10)
    subscribe(Reactor({"order-created": Reactions()}), once=True).thread.join(15)
    assert checkpoint() == 10
    Checkpoint.objects.update(position=4)
    again = Reactions()
    subscribe(Reactor({"order-created": again}), once=True).thread.join(15)
    assert sorted(event.position for event in again.seen) == list(range(5, 11))
    assert checkpoint() == 10
