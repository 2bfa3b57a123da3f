"""NATS' disk loses power, or is full: orders go on, and the stream is the log again (I9)."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from eventstore.client.memory import InMemoryEventStore
from eventstore.publishing import feed, sending
from orders_site.embedded.credentials import load_or_create
from orders_site.embedded.nats import EmbeddedNats
from tests.chaos.disk import Disk, disk_at
from tests.chaos.plan import Plan
from tests.chaos.test_publisher_fence import stream_is_log
from tests.contract.new_events import new_event
from tests.integration.broker import Broker
from tests.integration.handlers import Ledger
from tests.integration.messaging import Publish, Subscribe, fill, followed, said
from tests.together import eventually

pytest_plugins = ["tests.chaos.telling", "tests.integration.messaging"]
pytestmark = [
    pytest.mark.usefixtures("impatient"),
    pytest.mark.django_db(databases=["payments"], transaction=True),
    pytest.mark.timeout(120),
]

MEGABYTES = 32
LARGE = '{"x":"' + "x" * 100_000 + '"}'


@pytest.fixture
def disk(tmp_path: Path, chaos: Plan) -> Iterator[Disk]:
    with disk_at(tmp_path / "nats", MEGABYTES, chaos) as disk:
        yield disk


@pytest.fixture
def broker(disk: Disk, data_dir: Path, tmp_path: Path) -> Iterator[Broker]:
    """A server whose home is that disk."""
    server = EmbeddedNats(tmp_path, settings.NATS_PORT, load_or_create(data_dir))
    assert server.home == disk.folder
    server.start()
    broker = Broker(server)
    try:
        yield broker
    finally:
        broker.kill()


def cut_power(disk: Disk, broker: Broker) -> None:
    """The machine of the NATS server stops and starts again."""
    disk.cut_power()
    broker.kill()
    disk.unmount()
    disk.mount()
    broker.server.start()


def test_what_a_power_cut_took_from_the_stream_is_published_again(
    disk: Disk,
    broker: Broker,
    log: InMemoryEventStore,
    publish: Publish,
    subscribe: Subscribe,
    chaos: Plan,
) -> None:
    ledger = Ledger()
    subscribe(ledger)
    publisher, lost = publish(), 0
    for _ in range(chaos.rounds(2)):
        fill(log, chaos.dice.randrange(50, 300))
        eventually(lambda: broker.last() == log.head().position, timeout=20)
        os.sync()
        fill(log, chaos.dice.randrange(50, 300))
        followed(ledger, log)
        publisher.stop()
        cut_power(disk, broker)
        lost += log.head().position - broker.last()
        publisher = publish()
        stream_is_log(broker.url, log)
    fill(log, 10)
    cut_power(disk, broker)
    fill(log, 10)
    stream_is_log(broker.url, log)
    followed(ledger, log)
    assert lost, "the cuts took nothing from the stream"
    chaos.tell(f"{lost} acknowledged messages lost and published again")


def test_while_the_disk_is_full_the_log_grows_and_then_the_stream_follows(
    disk: Disk,
    broker: Broker,
    log: InMemoryEventStore,
    publish: Publish,
    subscribe: Subscribe,
    chaos: Plan,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "ACKNOWLEDGE_SECONDS", 1.0)
    monkeypatch.setattr(feed, "STORE_PAUSE_SECONDS", 1.0)
    ledger = Ledger()
    subscribe(ledger)
    publish()
    fill(log, 50)
    followed(ledger, log)
    disk.fill(leaving=300_000)
    for number in range(40):
        log.append([new_event(f"order-{number}", data=LARGE)])
    stuck = eventually(lambda: said(caplog, logging.WARNING, "publish"), timeout=20)
    assert broker.last() < log.head().position
    eventually(lambda: said(caplog, logging.WARNING, "is its disk full?"), timeout=60)
    last = broker.last()
    assert last < log.head().position
    disk.empty()
    # With room again this server's stream stays as it is, and is made anew: nobody restarts it.
    stream_is_log(broker.url, log, timeout=60)
    assert said(caplog, logging.WARNING, "it takes no more events")
    assert [name for name in broker.js(lambda js: js.streams_info()) if "probe" in str(name)] == []
    followed(ledger, log)
    chaos.tell(f"{log.head().position} events; with the disk full: {stuck[0]}")
