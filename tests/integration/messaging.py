"""Publishers and subscribers in the process of a test, and what they did: a pytest plugin."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from eventstore.client import subscriber
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.subscriber import Subscriber
from eventstore.client.subscribing import reporting
from eventstore.client.subscription import Projector, Reactor, Subscription
from eventstore.publisher import Publisher
from eventstore.publishing import feed
from payments.models import Checkpoint, ParkedMessage
from tests.contract.new_events import new_event
from tests.integration.broker import STREAM, Broker
from tests.integration.handlers import Ledger
from tests.together import eventually

assert logging
Publish = Callable[..., Publisher]
NAME = "tests"
State: Any = ParkedMessage.State


@pytest.fixture
def broker(nats_server) -> Broker:
    return Broker(nats_server)


@pytest.fixture
def log() -> InMemoryEventStore:
    return InMemoryEventStore()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "WATCH_SECONDS", 0.3)
    monkeypatch.setattr(reporting, "TICK_SECONDS", 0.1)
    monkeypatch.setattr(subscriber, "TICK_SECONDS", 0.1)


@pytest.fixture
def publish(broker: Broker, log: InMemoryEventStore) -> Iterator[Publish]:
    """Starts publishers, which are stopped at the end."""
    with ExitStack() as stack:

        def started(store: Any = log, url: str = broker.url, **options: Any) -> Publisher:
            publisher = Publisher(
                store, streams=[STREAM], nats_url=url, refused_seconds=0.3, **options
            )
            publisher.start()
            stack.callback(publisher.stop)
            return publisher

        yield started


@pytest.fixture
def publisher(broker: Broker, log: InMemoryEventStore) -> Iterator[Publisher]:
    publisher = Publisher(log, streams=[STREAM], nats_url=broker.url, refused_seconds=0.3)
    publisher.start()
    yield publisher
    publisher.stop()


class Worker:
    """A subscriber in a thread."""

    def __init__(self, subscription: Subscription, url: str, **options: Any) -> None:
        self.subscriber = Subscriber(subscription, nats_url=url, **options)
        self.error: BaseException | None = None
        self.ended: bool | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.ended = self.subscriber.run()
        except Exception as error:
            self.error = error

    def stop(self) -> None:
        self.subscriber.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()


Subscribe = Callable[..., Worker]


@pytest.fixture
def subscribe(broker: Broker, log: InMemoryEventStore) -> Iterator[Subscribe]:
    """Starts workers, which are stopped at the end."""
    with ExitStack() as stack:

        def started(
            handler: Projector | Reactor,
            store: Any = log,
            worker: str = "tests-1",
            **options: Any,
        ) -> Worker:
            subscription = subscription_of(handler, store, worker)
            running = Worker(subscription, broker.subscriber_url, **options)
            stack.callback(running.stop)
            return running

        yield started


def subscription_of(
    handler: Projector | Reactor, store: Any, worker: str = "tests-1"
) -> Subscription:
    return Subscription(
        name=NAME,
        worker=worker,
        handler=handler,
        store=store,
        database="payments",
        checkpoints=Checkpoint,
        parked=ParkedMessage,
    )


def fill(log: InMemoryEventStore, count: int, orders: int = 7) -> None:
    for _ in range(count):
        log.append([new_event(f"order-{log.head().position % orders}")])


def logged_ids(log: InMemoryEventStore) -> list[str]:
    return [str(event.event_id) for event in log.read_stream()]


def published(broker: Broker, log: InMemoryEventStore) -> None:
    """Wait until the stream has as many messages as the log, and compare them all."""
    eventually(lambda: broker.last() == log.head().position, timeout=20)
    assert broker.ids() == logged_ids(log)


def published_and_stopped(broker: Broker, log: InMemoryEventStore, publisher: Publisher) -> None:
    published(broker, log)
    publisher.stop()
    assert not publisher._thread.is_alive()


def said(caplog: pytest.LogCaptureFixture, level: int, words: str) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == level and words in record.getMessage()
    ]


def followed(ledger: Ledger, log: InMemoryEventStore, timeout: float = 20) -> None:
    """Wait until all of the log is applied, and check that each event was so once."""
    eventually(lambda: sum(ledger.applied.values()) == log.head().position, timeout)
    events = {(event.aggregate_id, event.version): 1 for event in log.read_stream()}
    assert dict(ledger.effects) == events


def checkpoint() -> int:
    return Checkpoint.objects.filter(pk=NAME).values_list("position", flat=True).first() or 0


def settled(broker: Broker) -> bool:
    """Whether the consumer has nothing left, delivered or not."""
    info = broker.js(lambda js: js.consumer_info(STREAM, NAME))
    return (info.num_pending, info.num_ack_pending) == (0, 0)
