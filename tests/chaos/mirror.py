"""The JetStream stream as anyone may read it: through nats-py, by none of the product's readers."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

import nats
import nats.errors
import nats.js.errors
from nats.js import JetStreamContext, api

from tests.integration.broker import STREAM, Stored

T = TypeVar("T")
PAGE = 500
# What asking raises while the server, the stream or the consumer is away.
AWAY = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError)


async def ask(url: str, question: Callable[[JetStreamContext], Awaitable[T]]) -> T:
    """The answer to a question, asked on a connection of its own."""
    client = await nats.connect(url, connect_timeout=2, allow_reconnect=False)
    try:
        return await question(client.jetstream(timeout=2))
    finally:
        await client.close()


def state(url: str) -> tuple[str, int]:
    """The log id that the stream names, and its last sequence; ("", -1) if it can't be had."""

    async def info(js: JetStreamContext) -> tuple[str, int]:
        found = await js.stream_info(STREAM)
        return (found.config.metadata or {}).get("log_id", ""), found.state.last_seq

    try:
        return asyncio.run(ask(url, info))
    except AWAY:
        return "", -1


def messages(url: str) -> list[Stored]:
    """All messages of the stream, in sequence."""
    return asyncio.run(ask(url, _read_all))


async def _read_all(js: JetStreamContext) -> list[Stored]:
    last = (await js.stream_info(STREAM)).state.last_seq
    found: list[Stored] = []
    consumer = await _consumer(js)
    while not found or found[-1].sequence < last:
        if last == 0:
            break
        found += [_stored(message) for message in await consumer.fetch(PAGE, timeout=5)]
    await consumer.unsubscribe()
    return found


async def _consumer(js: JetStreamContext) -> JetStreamContext.PullSubscription:
    return await js.pull_subscribe(
        "",
        stream=STREAM,
        config=api.ConsumerConfig(
            ack_policy=api.AckPolicy.NONE, mem_storage=True, inactive_threshold=30
        ),
    )


def _stored(message: object) -> Stored:
    return Stored(
        message.metadata.sequence.stream,  # type: ignore[attr-defined]
        message.subject,  # type: ignore[attr-defined]
        message.headers or {},  # type: ignore[attr-defined]
        message.data,  # type: ignore[attr-defined]
    )


class Watcher:
    """Sees each message as soon as it is on the stream, and calls `on_message` with it."""

    def __init__(self, url: str, on_message: Callable[[Stored], None]) -> None:
        self.count = 0
        self.error: Exception | None = None
        self._on_message = on_message
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, args=[url])
        self._thread.start()

    def stop(self) -> None:
        """Look no more; raises what went wrong."""
        self._stopping.set()
        self._thread.join(15)
        if self.error is not None:
            raise self.error

    def _main(self, url: str) -> None:
        try:
            asyncio.run(ask(url, self._watch))
        except Exception as error:
            self.error = error

    async def _watch(self, js: JetStreamContext) -> None:
        consumer = await _consumer(js)
        while not self._stopping.is_set():
            try:
                news = await consumer.fetch(PAGE, timeout=0.5)
            except nats.errors.TimeoutError:
                continue
            for message in news:
                self.count += 1
                self._on_message(_stored(message))
