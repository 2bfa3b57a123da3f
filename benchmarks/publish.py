"""How fast the publisher fills a stream, beside nats-py; then how soon an event arrives."""

import asyncio
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig

from benchmarks import figures, lag, streams
from benchmarks.figures import Case, Report, Sample, Table, Target
from benchmarks.filling import fill
from benchmarks.options import Options
from benchmarks.stack import RIVAL_STREAM, Stack, eventually
from eventstore.client import Event, StreamHead
from eventstore.client.broker import Connection, connected
from eventstore.client.notice import facts_of
from eventstore.publisher import Publisher
from eventstore.publishing import jetstream
from eventstore.publishing.sending import sending
from eventstore.store import SqlEventStore

PUBLISHER = "this, the publisher on a log behind"
SENDER = "this, its sender alone, events in memory"
ASYNC = "nats-py, publish_async"
PUBLISH = "nats-py, publish, 100 in flight"
IN_FLIGHT = 100
PAGE = 500


def run(stack: Stack, options: Options) -> Report:
    """Measure filling a stream with `options.refill` events, then the lag at given rates."""
    log = stack.fresh_log("published")
    fill(stack.url(log), options.refill)
    store = SqlEventStore(log)
    events, head = list(store.read_stream()), store.head()
    report = Report("publish")
    figures.say(f"publish, {len(events):,} events")

    def on_nats(work: Callable[[Connection], Awaitable[Sample]]) -> Sample:
        return asyncio.run(_connected(stack, head, work))

    cases = [
        Case(PUBLISHER, lambda: _refill(stack, store, head)),
        Case(SENDER, lambda: on_nats(partial(_send, head, events))),
        Case(ASYNC, lambda: on_nats(partial(_publish_async, head, events))),
        Case(PUBLISH, lambda: on_nats(partial(_publish, head, events))),
    ]
    samples = figures.interleaved(cases, options.rounds)
    report.tables.append(Table("events published", figures.rows(samples, "/s")))
    measured = figures.ratio(samples, PUBLISHER, ASYNC)
    if measured:
        report.targets.append(Target(f"publishing, {PUBLISHER} : {ASYNC}", 2.5, measured))
    lag.run(stack, options, report)
    return report


def _refill(stack: Stack, store: SqlEventStore, head: StreamHead) -> Sample:
    """From the start of a publisher that finds no stream until the log's last event is on it."""
    streams.drop_all(stack.nats_url)
    publisher = Publisher(store, streams=[head.stream], nats_url=stack.nats_url)
    began = time.monotonic()
    publisher.start()
    try:
        eventually(lambda: publisher.status()[0].published >= head.position, "all is published")
        return Sample(head.position, time.monotonic() - began)
    finally:
        publisher.stop()


async def _connected(
    stack: Stack, head: StreamHead, work: Callable[[Connection], Awaitable[Sample]]
) -> Sample:
    """Do the work on a connection, with the log's stream and the rival's empty."""
    async with connected(stack.nats_url, "benchmark") as connection:
        await streams.drop(connection)
        await jetstream.create(connection, head.stream, head.log_id, replicas=1)
        config = StreamConfig(
            name=RIVAL_STREAM, subjects=[f"{RIVAL_STREAM}.>"], storage=StorageType.FILE
        )
        await connection.js.add_stream(config)
        return await work(connection)


async def _send(head: StreamHead, events: Sequence[Event], connection: Connection) -> Sample:
    async with sending(connection, head) as sender:
        began = time.monotonic()
        for start in range(0, len(events), PAGE):
            await sender.send([facts_of(event) for event in events[start : start + PAGE]])
        await sender.settle()
        return Sample(len(events), time.monotonic() - began)


async def _publish_async(
    head: StreamHead, events: Sequence[Event], connection: Connection
) -> Sample:
    js: JetStreamContext = connection.js
    began = time.monotonic()
    for event in events:
        await js.publish_async(**_message(event, head))
    await js.publish_async_completed()
    return Sample(len(events), time.monotonic() - began)


async def _publish(head: StreamHead, events: Sequence[Event], connection: Connection) -> Sample:
    js: JetStreamContext = connection.js
    todo = iter(events)

    async def one_after_another() -> None:
        for event in todo:
            await js.publish(**_message(event, head))

    began = time.monotonic()
    await asyncio.gather(*(one_after_another() for _ in range(IN_FLIGHT)))
    return Sample(len(events), time.monotonic() - began)


def _message(event: Event, head: StreamHead) -> dict[str, Any]:
    """The same message as ours, as somebody writes it down who uses nats-py."""
    headers = {
        "ce-specversion": "1.0",
        "ce-id": str(event.event_id),
        "ce-type": event.event_type,
        "ce-source": f"/eventstore/{event.stream}/{head.log_id}",
        "ce-subject": event.aggregate_id,
        "ce-time": event.recorded_at.isoformat(),
        "ce-datacontenttype": "application/json",
        "ce-aggregatetype": event.aggregate_type,
        "ce-version": str(event.version),
        "ce-position": str(event.position),
        "ce-metadata": b64encode(event.metadata.encode()).decode(),
        "ce-correlationid": event.aggregate_id,
        "content-type": "application/json",
    }
    subject, payload = f"{RIVAL_STREAM}.{event.event_type}", event.data.encode()
    return {"subject": subject, "payload": payload, "headers": headers}
