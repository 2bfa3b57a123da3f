"""The publisher and streams that are not what they should be, or a NATS or log that goes away."""

import logging
from dataclasses import replace
from typing import Any

import pytest
from nats.js import api

from eventstore.client import Unavailable
from eventstore.client.memory import InMemoryEventStore
from eventstore.publishing import jetstream
from tests.integration.broker import STREAM, Broker
from tests.integration.messaging import (
    Publish,
    fill,
    logged_ids,
    published,
    published_and_stopped,
    said,
)
from tests.together import eventually

pytest_plugins = ["tests.integration.messaging"]
pytestmark = pytest.mark.usefixtures("impatient")


def test_the_stream_is_made_so_that_nothing_can_be_deleted_or_lost_to_limits(
    broker: Broker, log: InMemoryEventStore, publish: Publish
) -> None:
    publish()
    eventually(lambda: broker.last() == 0)
    config = broker.js(lambda js: js.stream_info(STREAM)).config
    assert config.subjects == ["ORDERS.>"]
    assert config.storage == "file"
    assert config.deny_delete
    assert config.deny_purge
    assert (config.max_msgs, config.max_bytes, config.max_age) == (-1, -1, 0)
    assert (config.metadata or {})["log_id"] == str(log.head().log_id)


def test_given_a_wiped_nats_then_the_stream_is_filled_again(
    broker: Broker, log: InMemoryEventStore, publish: Publish
) -> None:
    fill(log, 1_200)
    publish()
    published(broker, log)
    broker.wipe()
    fill(log, 5)
    published(broker, log)


def test_given_a_deleted_stream_then_it_is_filled_again(
    broker: Broker, log: InMemoryEventStore, publish: Publish
) -> None:
    fill(log, 10)
    publish()
    published(broker, log)
    broker.js(lambda js: js.delete_stream(STREAM))
    published(broker, log)


def test_the_stream_of_another_log_is_refused_until_it_is_gone(
    broker: Broker,
    log: InMemoryEventStore,
    publish: Publish,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = InMemoryEventStore()
    fill(other, 5)
    published_and_stopped(broker, other, publish(other))
    fill(log, 8)
    publisher = publish()
    eventually(lambda: "refused" in publisher.status()[0].state)
    eventually(lambda: said(caplog, logging.ERROR, str(other.head().log_id)))
    assert broker.ids() == logged_ids(other)
    broker.js(lambda js: js.delete_stream(STREAM))
    published(broker, log)
    assert len(said(caplog, logging.ERROR, "refused")) == 1


def test_a_stream_that_names_no_log_is_refused(
    broker: Broker, log: InMemoryEventStore, publish: Publish
) -> None:
    broker.js(lambda js: js.add_stream(name=STREAM, subjects=["ORDERS.>"]))
    fill(log, 2)
    publisher = publish()
    eventually(lambda: "refused" in publisher.status()[0].state)
    assert broker.last() == 0


class Restored:
    """A log as a backup of its first events has it."""

    def __init__(self, log: InMemoryEventStore, position: int) -> None:
        self.log, self.position = log, position

    def head(self, stream: str = STREAM) -> Any:
        return replace(self.log.head(stream), position=self.position)

    def read_stream(self, from_position: int = 1, **options: Any) -> Any:
        events = self.log.read_stream(from_position, **options)
        return (event for event in events if event.position <= self.position)


def test_a_stream_ahead_of_its_log_is_refused(
    broker: Broker, log: InMemoryEventStore, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    fill(log, 20)
    published_and_stopped(broker, log, publish())
    publisher = publish(Restored(log, 15))
    eventually(lambda: "refused" in publisher.status()[0].state)
    eventually(lambda: said(caplog, logging.ERROR, "restored to an older point"))
    assert broker.ids() == logged_ids(log)


@pytest.mark.parametrize("meanwhile", [0, 3], ids=["idle", "with events on their way"])
def test_a_foreign_message_is_noticed_and_the_stream_filled_again(
    broker: Broker,
    log: InMemoryEventStore,
    publish: Publish,
    caplog: pytest.LogCaptureFixture,
    meanwhile: int,
) -> None:
    fill(log, 10)
    publish()
    published(broker, log)
    broker.publish("ORDERS.stray", b"what is this")
    fill(log, meanwhile)
    published(broker, log)
    assert said(caplog, logging.WARNING, "the message at 11 is not the log's event")
    metadata = broker.js(lambda js: js.stream_info(STREAM)).config.metadata or {}
    assert metadata[jetstream.REFILLED_FROM] == "11"


def test_a_foreign_message_below_the_last_ones_is_noticed_by_the_next_publisher(
    broker: Broker, log: InMemoryEventStore, publish: Publish
) -> None:
    """As when a publisher dies just after a stranger slipped in between its events in flight."""
    fill(log, 10)
    published_and_stopped(broker, log, publish())
    right = broker.messages()
    broker.js(lambda js: js.delete_stream(STREAM))
    log_id = log.head().log_id
    broker.ask(lambda connection: jetstream.create(connection, STREAM, log_id, replicas=1))
    for message in right:
        stray = message.sequence == 4
        broker.publish(
            message.subject,
            b"{}" if stray else message.data,
            None if stray else {k: v for k, v in message.headers.items() if "Nats" not in k},
        )
    assert broker.last() == 10
    publish()
    eventually(lambda: broker.ids() == logged_ids(log))


def test_a_hole_in_the_stream_is_filled(
    broker: Broker, log: InMemoryEventStore, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    fill(log, 10)
    published_and_stopped(broker, log, publish())
    config = broker.js(lambda js: js.stream_info(STREAM)).config
    right = broker.messages()
    broker.js(lambda js: js.delete_stream(STREAM))
    config.deny_delete = False
    broker.js(lambda js: js.add_stream(config))
    for message in right:
        headers = {k: v for k, v in message.headers.items() if "Nats" not in k}
        broker.publish(message.subject, message.data, headers)
    broker.js(lambda js: js.delete_msg(STREAM, 4))
    publish()
    eventually(lambda: said(caplog, logging.WARNING, "it has 9 messages from 1 to 10"))
    published(broker, log)


def test_a_probe_that_a_killed_publisher_left_is_removed(
    broker: Broker, log: InMemoryEventStore, publish: Publish
) -> None:
    left = api.StreamConfig(name=f"{STREAM}~probe", subjects=["eventstore.committed.ORDERS.probe"])
    broker.js(lambda js: js.add_stream(left))
    fill(log, 3)
    publish()
    published(broker, log)
    names = [info.config.name for info in broker.js(lambda js: js.streams_info())]
    assert names == [STREAM]


def test_limits_that_somebody_set_are_taken_back(
    broker: Broker, log: InMemoryEventStore, publish: Publish
) -> None:
    published_and_stopped(broker, log, publish())
    info = broker.js(lambda js: js.stream_info(STREAM))
    broker.js(lambda js: js.update_stream(info.config.evolve(max_msgs=5)))
    fill(log, 20)
    publish()
    published(broker, log)


def test_given_nats_is_killed_while_publishing_then_nothing_is_lost_or_doubled(
    broker: Broker, log: InMemoryEventStore, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    fill(log, 20_000, orders=100)
    publisher = publish()
    eventually(lambda: publisher.status()[0].published > 500)
    broker.kill()
    eventually(lambda: publisher.status()[0].state == "waiting for NATS")
    fill(log, 100)
    broker.server.start()
    published(broker, log)
    assert not said(caplog, logging.WARNING, "differs from the log")
    assert len(said(caplog, logging.WARNING, "NATS is away")) == 1
    assert len(said(caplog, logging.INFO, "NATS is back")) == 1


def test_given_nats_comes_later_then_the_publisher_waited_for_it(
    broker: Broker, log: InMemoryEventStore, publish: Publish
) -> None:
    broker.kill()
    fill(log, 5)
    publisher = publish()
    eventually(lambda: publisher._away_since is not None)
    broker.server.start()
    published(broker, log)


def test_given_a_frozen_nats_then_stopping_does_not_wait_for_it(
    broker: Broker, log: InMemoryEventStore, publish: Publish
) -> None:
    fill(log, 20_000, orders=100)
    publisher = publish()
    eventually(lambda: publisher.status()[0].published > 500)
    broker.pause()
    try:
        publisher.stop(5)
        assert not publisher._thread.is_alive()
    finally:
        broker.unpause()


class Away(InMemoryEventStore):
    """A log whose database can be taken away."""

    away = False

    def head(self, stream: str = STREAM) -> Any:
        if self.away:
            raise Unavailable
        return super().head(stream)


def test_given_the_log_is_away_then_publishing_goes_on_when_it_is_back(
    broker: Broker, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    log = Away()
    publisher = publish(log)
    eventually(lambda: broker.last() == 0)
    fill(log, 3)
    log.away = True
    eventually(lambda: "the log can't be read" in publisher.status()[0].state)
    log.away = False
    published(broker, log)
    assert len(said(caplog, logging.WARNING, "the log can't be read")) == 1
