"""A publisher whose NATS user lacks a right."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from eventstore.client.memory import InMemoryEventStore
from eventstore.publishing import sending
from orders_site.embedded.credentials import load_or_create
from orders_site.embedded.nats import EmbeddedNats
from tests.contract.new_events import new_event
from tests.integration.broker import STREAM, Broker
from tests.integration.messaging import Publish, fill, published, said
from tests.together import eventually

pytest_plugins = ["tests.integration.messaging"]
pytestmark = pytest.mark.usefixtures("impatient")


class Forbidding(EmbeddedNats):
    """A server whose publisher may not publish one subject."""

    def _publisher(self) -> dict:
        user = super()._publisher()
        allowed = user["permissions"]["publish"]
        user["permissions"]["publish"] = {"allow": allowed, "deny": [f"{STREAM}.secret"]}
        return user


@pytest.fixture
def broker(data_dir: Path, tmp_path: Path) -> Iterator[Broker]:
    server = Forbidding(tmp_path, settings.NATS_PORT, load_or_create(data_dir))
    server.start()
    broker = Broker(server)
    try:
        yield broker
    finally:
        broker.kill()


def test_a_publisher_that_lacks_a_right_says_so_and_deletes_nothing(
    broker: Broker,
    log: InMemoryEventStore,
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sending, "ACKNOWLEDGE_SECONDS", 0.2)
    fill(log, 5)
    publish()
    published(broker, log)
    before = broker.js(lambda js: js.stream_info(STREAM)).created
    log.append([new_event("order-1", event_type="secret")])
    eventually(lambda: len(said(caplog, logging.ERROR, "permissions violation")) > 5, timeout=30)
    assert broker.js(lambda js: js.stream_info(STREAM)).created == before
    assert broker.last() == 5
