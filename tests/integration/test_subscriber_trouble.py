"""Subscribers and outages, poison, forged messages, and a broker that forgets."""

import logging
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError

from eventstore.client import TransientError
from eventstore.client.events import Event
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.subscribing.binding import SubscriptionRefused
from eventstore.client.subscribing.checkpointing import Checkpoints
from eventstore.client.subscribing.parking import request_retry
from eventstore.client.subscription import Reactor
from eventstore.publisher import Publisher
from payments.models import Checkpoint, ParkedMessage
from tests.integration.broker import STREAM, Broker
from tests.integration.handlers import Failing, Ledger, Reactions
from tests.integration.messaging import (
    NAME,
    State,
    Subscribe,
    checkpoint,
    fill,
    followed,
    said,
    settled,
    subscription_of,
)
from tests.together import eventually

pytest_plugins = ["tests.integration.messaging"]
pytestmark = [
    pytest.mark.usefixtures("impatient"),
    pytest.mark.django_db(databases=["payments"], transaction=True),
]


def test_a_worker_that_comes_before_the_stream_waits_for_it(
    broker: Broker, log: InMemoryEventStore, subscribe: Subscribe, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ledger = Ledger()
    subscribe(ledger)
    # Nothing to worry about: at a first start the stream is made at any moment.
    eventually(lambda: said(caplog, logging.INFO, "is not there yet"))
    fill(log, 5)
    publisher = Publisher(log, streams=[STREAM], nats_url=broker.url)
    publisher.start()
    try:
        followed(ledger, log)
        assert len(said(caplog, logging.INFO, "is not there yet")) == 1
        assert not said(caplog, logging.WARNING, "is not there yet")
    finally:
        publisher.stop()


def test_a_worker_that_comes_before_nats_waits_for_it(
    broker: Broker, log: InMemoryEventStore, subscribe: Subscribe, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    broker.kill()
    ledger = Ledger()
    subscribe(ledger)
    eventually(lambda: said(caplog, logging.WARNING, "waiting"))
    broker.server.start()
    fill(log, 5)
    publisher = Publisher(log, streams=[STREAM], nats_url=broker.url)
    publisher.start()
    try:
        followed(ledger, log)
        eventually(lambda: said(caplog, logging.INFO, "working again"))
    finally:
        publisher.stop()


def test_given_a_deleted_durable_it_is_made_again_after_the_checkpoint(
    broker: Broker, log: InMemoryEventStore, publisher: Publisher, subscribe: Subscribe
) -> None:
    fill(log, 20)
    ledger = Ledger()
    subscribe(ledger)
    followed(ledger, log)
    eventually(lambda: checkpoint() == 20)
    broker.js(lambda js: js.delete_consumer(STREAM, NAME))
    fill(log, 5)
    followed(ledger, log)
    config = broker.js(lambda js: js.consumer_info(STREAM, NAME)).config
    assert config.opt_start_seq == 21


def test_given_a_wiped_nats_the_subscription_goes_on(
    broker: Broker, log: InMemoryEventStore, publisher: Publisher, subscribe: Subscribe
) -> None:
    fill(log, 300)
    ledger = Ledger()
    subscribe(ledger)
    followed(ledger, log)
    eventually(lambda: checkpoint() == 300)
    broker.wipe()
    fill(log, 50)
    followed(ledger, log)
    eventually(lambda: checkpoint() == 350)


def test_given_nats_is_killed_in_the_middle_everything_is_applied_once(
    broker: Broker, log: InMemoryEventStore, publisher: Publisher, subscribe: Subscribe
) -> None:
    fill(log, 5_000)
    ledger = Ledger()
    subscribe(ledger)
    eventually(lambda: sum(ledger.applied.values()) > 500)
    broker.kill()
    fill(log, 100)
    broker.server.start()
    followed(ledger, log)


def test_after_a_foreign_message_events_that_were_skipped_are_seen_again(
    broker: Broker, log: InMemoryEventStore, publisher: Publisher, subscribe: Subscribe
) -> None:
    """The stranger took the place of event 11, and a reactor does not even see the stranger."""
    fill(log, 10)
    reactions = Reactions()
    subscribe(Reactor({"order-created": reactions}))
    eventually(lambda: checkpoint() == 10)
    publisher.stop()
    broker.publish("ORDERS.stray", b"{}")
    fill(log, 3)
    Checkpoints(subscription_of(Ledger(), log)).advance(log.head().log_id, 13)
    again = Publisher(log, streams=[STREAM], nats_url=broker.url)
    again.start()
    try:
        eventually(lambda: len({event.position for event in reactions.seen}) == 13)
        eventually(lambda: checkpoint() == 13)
    finally:
        again.stop()


def test_a_forged_notice_is_parked_and_others_flow(
    broker: Broker, log: InMemoryEventStore, subscribe: Subscribe
) -> None:
    fill(log, 3)
    publisher = Publisher(log, streams=[STREAM], nats_url=broker.url)
    publisher.start()
    eventually(lambda: broker.last() == 3)
    publisher.stop()
    headers = {"ce-id": str(uuid4()), "ce-type": "order-created", "ce-subject": "order-1"}
    headers |= {"ce-aggregatetype": "order", "ce-version": "99", "ce-position": "4"}
    broker.publish("ORDERS.order-created", b"{}", headers)
    broker.publish("ORDERS.order-created", b"not json")
    ledger = Ledger()
    subscribe(ledger)
    followed(ledger, log)
    eventually(lambda: ParkedMessage.objects.filter(state=State.PARKED).count() == 2)
    reasons = ParkedMessage.objects.order_by("position").values_list("error", flat=True)
    assert list(reasons) == ["the log has no such event", "ce-id is missing"]


def test_a_poison_message_is_parked_others_flow_and_its_retry_works(
    broker: Broker,
    log: InMemoryEventStore,
    publisher: Publisher,
    subscribe: Subscribe,
    settings: Any,
) -> None:
    settings.SUBSCRIPTION_ATTEMPTS = 2
    hook = Failing(ValueError("bad"), lambda event: event.aggregate_id == "order-3")
    fill(log, 14)
    ledger = Ledger(hook)
    subscribe(ledger)
    eventually(lambda: ParkedMessage.objects.filter(state=State.PARKED).exists())
    fill(log, 14)
    eventually(lambda: sum(ledger.applied.values()) == 24)
    eventually(lambda: settled(broker))
    eventually(lambda: checkpoint() == 28)
    hook.mended = True
    request_retry(ParkedMessage, [ParkedMessage.objects.get().pk])
    followed(ledger, log)
    eventually(lambda: ParkedMessage.objects.get().state == State.RESOLVED)


@pytest.mark.parametrize(
    "error",
    [TransientError("gateway away"), OperationalError("the database went away")],
    ids=["gateway", "database"],
)
@pytest.mark.parametrize("kind", ["projector", "reactor"])
def test_an_outage_parks_nothing_and_loses_nothing(
    log: InMemoryEventStore,
    publisher: Publisher,
    subscribe: Subscribe,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    kind: str,
) -> None:
    caplog.set_level(logging.INFO)
    hook = Failing(error, lambda event: event.position > 20)
    ledger, reactions = Ledger(hook), Reactions(hook)
    subscribe(ledger if kind == "projector" else Reactor({"order-created": reactions}))
    fill(log, 20)
    eventually(lambda: checkpoint() == 20)
    fill(log, 20)
    eventually(lambda: hook.raised > 3)
    assert not ParkedMessage.objects.exists()
    assert checkpoint() == 20
    hook.mended = True
    eventually(lambda: checkpoint() == 40)
    assert not ParkedMessage.objects.exists()
    assert len(said(caplog, logging.WARNING, f"waiting, {type(error).__name__}: {error}")) == 1
    assert said(caplog, logging.INFO, "working again")
    if kind == "projector":
        followed(ledger, log)
    else:
        assert {event.position for event in reactions.seen} == set(range(1, 41))


class Away(InMemoryEventStore):
    """An event store that can be taken away."""

    away = False

    def read_many(self, aggregates: Any) -> Iterator[Event]:
        if self.away:
            raise TransientError("the event store is away")
        return super().read_many(aggregates)


def test_an_event_store_that_is_away_parks_nothing(
    log: InMemoryEventStore,
    publisher: Publisher,
    subscribe: Subscribe,
    caplog: pytest.LogCaptureFixture,
) -> None:
    log.__class__ = Away
    fill(log, 5)
    log.away = True  # type: ignore[attr-defined]
    ledger = Ledger()
    subscribe(ledger)
    eventually(lambda: said(caplog, logging.WARNING, "the event store is away"))
    assert ledger.applied == {}
    log.away = False  # type: ignore[attr-defined]
    followed(ledger, log)
    assert not ParkedMessage.objects.exists()


def test_the_stream_of_another_log_is_refused(
    log: InMemoryEventStore,
    publisher: Publisher,
    subscribe: Subscribe,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = uuid4()
    Checkpoint.objects.create(subscription=NAME, log_id=other, position=3)
    fill(log, 5)
    ledger = Ledger()
    worker = subscribe(ledger)
    worker.thread.join(10)
    assert isinstance(worker.error, SubscriptionRefused)
    assert said(caplog, logging.ERROR, str(other))
    assert ledger.applied == {}


def test_a_log_that_is_behind_the_subscription_is_refused(
    log: InMemoryEventStore, publisher: Publisher, subscribe: Subscribe
) -> None:
    fill(log, 5)
    Checkpoint.objects.create(subscription=NAME, log_id=log.head().log_id, position=9)
    worker = subscribe(Ledger())
    worker.thread.join(10)
    assert isinstance(worker.error, SubscriptionRefused)
