"""A stream that is right is not made anew, however long its publisher waits for answers."""

import logging
import threading
from random import Random

import pytest

from eventstore.client.memory import InMemoryEventStore
from eventstore.publishing import sending
from tests.integration.broker import STREAM, Broker
from tests.integration.messaging import Publish, fill, published, said

pytest_plugins = ["tests.integration.messaging"]
pytestmark = pytest.mark.usefixtures("impatient")

PAUSES = 12


def created(broker: Broker) -> object:
    return broker.js(lambda js: js.stream_info(STREAM)).created


def test_a_server_that_is_frozen_over_and_over_keeps_its_stream(
    broker: Broker,
    log: InMemoryEventStore,
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sending, "ACKNOWLEDGE_SECONDS", 0.2)
    dice = Random(20_611)
    fill(log, 200)
    publisher = publish()
    published(broker, log)
    before = created(broker)
    for _ in range(PAUSES):
        fill(log, dice.randrange(1, 400))
        publisher.wake(STREAM, log.head().position)
        threading.Event().wait(dice.uniform(0, 0.02))
        broker.pause()
        try:
            threading.Event().wait(dice.uniform(0.3, 0.9))
        finally:
            broker.unpause()
        threading.Event().wait(dice.uniform(0, 0.4))
    published(broker, log)
    assert created(broker) == before
    assert not said(caplog, logging.WARNING, "differs from the log")
