"""A log that becomes another one while its publisher runs, and a publisher that fails."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventstore import publisher as publisher_module
from eventstore.client.events import NewEvent, StreamHead
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.notice import source_of
from eventstore.publishing import feed, jetstream
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


class Exchangeable:
    """A log of one id, whoever holds it; or of another; reading may fail as nothing should."""

    def __init__(self, log: InMemoryEventStore) -> None:
        self.log = log
        self.log_id: UUID = log.head().log_id
        self.failures = 0

    def head(self, stream: str = STREAM) -> StreamHead:
        return replace(self.log.head(stream), log_id=self.log_id)

    def read_stream(self, from_position: int = 1, **options: Any) -> Iterator[Any]:
        if self.failures:
            self.failures -= 1
            raise ZeroDivisionError
        return self.log.read_stream(from_position, **options)


def backup(log: InMemoryEventStore, position: int) -> InMemoryEventStore:
    """The log as it was when it had come to this position."""
    older = InMemoryEventStore()
    for event in log.read_stream(limit=position):
        again = {name: getattr(event, name) for name in NewEvent.__dataclass_fields__}
        older.append([NewEvent(**again)])
    return older


@pytest.mark.parametrize("since", [0, 5, 12])
def test_a_log_that_is_put_back_while_it_is_published_is_refused(
    broker: Broker, log: InMemoryEventStore, publish: Publish, since: int
) -> None:
    """Also when it has got as far again, or further, with other events."""
    fill(log, 20)
    store = Exchangeable(log)
    publisher = publish(store)
    published(broker, log)
    older = backup(log, 15)
    fill(older, since)
    store.log = older
    eventually(lambda: "refused" in publisher.status()[0].state)
    assert broker.ids() == logged_ids(log)


def test_a_log_that_gets_another_id_is_published_under_it(
    broker: Broker,
    log: InMemoryEventStore,
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another publisher had filled the new log's stream before this one looked again."""
    monkeypatch.setattr(feed, "WATCH_SECONDS", 2.0)
    fill(log, 10)
    store = Exchangeable(log)
    publish(store)
    published(broker, log)
    store.log_id = uuid4()
    broker.js(lambda js: js.delete_stream(STREAM))
    other = publish(store)
    published(broker, log)
    other.stop()
    eventually(
        lambda: (
            said(caplog, logging.WARNING, "the stream was deleted")
            or said(caplog, logging.WARNING, "another log's stream")
        )
    )
    fill(log, 3)
    published(broker, log)
    sources = {message.headers["ce-source"] for message in broker.messages()}
    assert sources == {source_of(STREAM, store.log_id)}


def test_a_publisher_that_failed_once_starts_again_once(
    broker: Broker,
    log: InMemoryEventStore,
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(publisher_module, "CRASH_PAUSE_SECONDS", 0.1)
    store = Exchangeable(log)
    publisher = publish(store)
    for _ in range(3):
        fill(log, 3)
        published(broker, log)
        eventually(lambda: "up to the head" in publisher.status()[0].state)
    store.failures = 1
    eventually(lambda: said(caplog, logging.ERROR, "failed and starts again"))
    for _ in range(10):
        fill(log, 3)
        published(broker, log)
        eventually(lambda: "up to the head" in publisher.status()[0].state)
    assert len(said(caplog, logging.ERROR, "failed and starts again")) == 1


def test_a_stream_whose_last_messages_were_not_seen_is_compared_again(
    broker: Broker,
    log: InMemoryEventStore,
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A slow broker may give fewer than were asked for; nothing is known then of the last one."""
    fill(log, 10)
    published_and_stopped(broker, log, publish())
    looks: list[int] = []

    async def interrupted(*args: Any, do: Any = jetstream.identities) -> Any:
        found = await do(*args)
        looks.append(len(found))
        return found[: -3 if len(looks) == 1 else None]

    monkeypatch.setattr(jetstream, "identities", interrupted)
    publish()
    fill(log, 3)
    published(broker, log)
    assert len(looks) == 2
    assert not said(caplog, logging.ERROR, "comparing the stream with the log again")
