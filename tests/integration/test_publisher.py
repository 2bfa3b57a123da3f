"""The publisher against a real NATS server, with the log in memory."""

import logging
from base64 import b64encode

import pytest

from eventstore.client import metadata_for
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.notice import parse
from eventstore.publisher import Publisher
from eventstore.publishing import feed
from eventstore.publishing.hints import CommitHints
from tests.contract.new_events import new_event
from tests.integration.broker import STREAM, Broker
from tests.integration.messaging import (
    Publish,
    fill,
    published,
    published_and_stopped,
    said,
)
from tests.together import eventually

pytest_plugins = ["tests.integration.messaging"]
pytestmark = pytest.mark.usefixtures("impatient")


def test_given_a_log_when_it_is_published_then_every_event_is_at_its_position(
    broker: Broker, log: InMemoryEventStore, publish: Publish
) -> None:
    fill(log, 25)
    publish()
    published(broker, log)
    for event, message in zip(log.read_stream(), broker.messages(), strict=True):
        notice = parse(STREAM, message.subject, message.headers, message.data, message.sequence)
        assert notice.event_id == event.event_id
        assert (notice.aggregate_id, notice.version) == (event.aggregate_id, event.version)
        assert message.data.decode() == event.data
        assert "Nats-Msg-Id" not in message.headers


def test_an_event_goes_out_with_its_headers(
    broker: Broker, log: InMemoryEventStore, publish: Publish
) -> None:
    metadata = metadata_for(
        actor="tests", correlation_id="c 1", traceparent="00-aa-bb-01", extra={"causation_id": "x"}
    )
    new = new_event("Küche 7", event_type="ORDERS.created", metadata=metadata)
    log.append([new])
    publish()
    published(broker, log)
    (message,) = broker.messages()
    assert message.subject == "ORDERS.created"
    headers = {name: value for name, value in message.headers.items() if "Nats" not in name}
    (event,) = log.read_stream()
    assert headers == {
        "ce-specversion": "1.0",
        "ce-id": str(new.event_id),
        "ce-type": "ORDERS.created",
        "ce-source": f"/eventstore/ORDERS/{log.head().log_id}",
        "ce-subject": "K%C3%BCche%207",
        "ce-time": event.recorded_at.isoformat().replace("+00:00", "Z"),
        "ce-datacontenttype": "application/json",
        "ce-aggregatetype": "order",
        "ce-version": "1",
        "ce-position": "1",
        "ce-correlationid": "c%201",
        "ce-causationid": "x",
        "traceparent": "00-aa-bb-01",
        "ce-metadata": b64encode(metadata.encode()).decode(),
        "content-type": "application/json",
    }


def test_a_commit_wakes_the_publisher_at_once(
    broker: Broker, log: InMemoryEventStore, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "POLL_SECONDS", 3600)
    publisher = publish()
    eventually(lambda: publisher.status()[0].state == "published up to the head of the log")
    fill(log, 3)
    publisher.wake(STREAM, 3)
    published(broker, log)
    eventually(lambda: [(each.published, each.head) for each in publisher.status()] == [(3, 3)])


def test_a_hint_of_another_process_wakes_the_publisher(
    broker: Broker, log: InMemoryEventStore, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "POLL_SECONDS", 3600)
    publisher = publish()
    eventually(lambda: publisher.status()[0].state == "published up to the head of the log")
    heard: list[tuple[str, int]] = []
    told: list[tuple[str, int]] = []
    hints = CommitHints(broker.url, on_hint=lambda *hint: told.append(hint))
    other = CommitHints(broker.url, on_hint=lambda *hint: heard.append(hint))
    hints.start()
    other.start()
    try:
        fill(log, 3)
        hints.hint(STREAM, 3)
        published(broker, log)

        def others_hear() -> bool:
            hints.hint(STREAM, 4)
            return (STREAM, 4) in heard

        eventually(others_hear)
        assert told == []
    finally:
        hints.stop()
        other.stop()


def test_without_a_hint_the_publisher_polls(
    broker: Broker, log: InMemoryEventStore, publish: Publish
) -> None:
    publish()
    eventually(lambda: broker.last() == 0)
    fill(log, 3)
    published(broker, log)


def test_a_new_publisher_goes_on_where_the_last_one_stopped(
    broker: Broker, log: InMemoryEventStore, publish: Publish
) -> None:
    fill(log, 10)
    published_and_stopped(broker, log, publish())
    created = broker.js(lambda js: js.stream_info(STREAM)).created
    fill(log, 10)
    publish()
    published(broker, log)
    assert broker.js(lambda js: js.stream_info(STREAM)).created == created


def test_given_two_publishers_then_the_stream_equals_the_log(
    broker: Broker, log: InMemoryEventStore, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    both = [publish(), publish()]
    for _ in range(30):
        fill(log, 40)
        for publisher in both:
            publisher.wake(STREAM, log.head().position)
    published(broker, log)
    assert not said(caplog, logging.WARNING, "differs from the log")


def test_the_second_publisher_takes_over_when_the_first_is_gone(
    broker: Broker, log: InMemoryEventStore, publish: Publish
) -> None:
    both = [publish(), publish()]
    standing_by: list[Publisher] = []

    def one_stands_by() -> bool:
        fill(log, 1)
        for publisher in both:
            publisher.wake(STREAM, log.head().position)
        standing_by[:] = [each for each in both if "standing by" in each.status()[0].state]
        return bool(standing_by)

    eventually(one_stands_by)
    for publisher in both:
        if publisher not in standing_by:
            publisher.stop()
    fill(log, 20)
    published(broker, log)
