"""Messages of a JetStream pull consumer, a batch at a time."""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from eventstore.client.broker import BrokerAway, Connection

REQUEST_SECONDS = 30.0
HEARTBEAT_SECONDS = 5.0
# Two missed heartbeats and some grace.
SILENCE_SECONDS = 12.0


class ConsumerGone(Exception):
    """The consumer, or its stream, was deleted."""


class Puller:
    """Keeps one request for messages open at the server and hands out what has arrived.

    While a batch is worked on the next one arrives. nats-py's own `fetch` costs a task per
    message, and answers alike to an empty stream and to a consumer that is gone.
    """

    def __init__(self, connection: Connection, stream: str, consumer: str, batch: int) -> None:
        self._client = connection.client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._batch = batch
        self._inbox = self._client.new_inbox()
        self._request = 0
        self._granted = 0
        self._heard = 0.0
        self._arrived: deque[Msg] = deque()
        self._news = asyncio.Event()
        self._failure: Exception | None = None

    async def listen(self) -> Subscription:
        """Be ready to receive; nothing is asked for before the first `take`."""
        return await self._client.subscribe(f"{self._inbox}.*", cb=self._on_message)

    async def take(self, limit: int, timeout: float) -> list[Msg]:
        """Up to `limit` messages, as soon as there is one; none after `timeout` seconds.

        Raises:
            ConsumerGone: it has to be made anew.
            BrokerAway: the server is silent, or can't serve now.
        """
        if self._granted <= 0 and len(self._arrived) < limit:
            await self._ask()
        if not self._arrived and self._failure is None:
            self._news.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._news.wait()
            except TimeoutError:
                self._check_silence()
        if self._arrived:
            return [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]
        if self._failure is not None:
            raise self._failure
        return []

    def waiting(self) -> list[Msg]:
        """The messages that arrived and were not taken yet."""
        return list(self._arrived)

    async def _ask(self) -> None:
        self._request += 1
        self._granted = self._batch
        self._heard = time.monotonic()
        request = {
            "batch": self._batch,
            "expires": int(REQUEST_SECONDS * 1e9),
            "idle_heartbeat": int(HEARTBEAT_SECONDS * 1e9),
        }
        await self._client.publish(
            self._subject, json.dumps(request).encode(), reply=f"{self._inbox}.{self._request}"
        )

    async def _on_message(self, message: Msg) -> None:
        self._heard = time.monotonic()
        headers = message.headers or {}
        status = headers.get("Status") if message.subject.startswith(self._inbox) else None
        if status is None:
            self._granted -= 1
            self._arrived.append(message)
            self._news.set()
        elif message.subject == f"{self._inbox}.{self._request}":
            self._on_status(status, headers)

    def _on_status(self, status: str, headers: Mapping[str, str]) -> None:
        description = headers.get("Description", "")
        match status:
            case "100":
                return
            case "404" | "408":
                self._granted = 0
            case "503":
                self._failure = ConsumerGone("the consumer is not there")
            case _ if "Deleted" in description:
                self._failure = ConsumerGone(description)
            case _:
                self._failure = BrokerAway(f"{status} {description}")
        self._news.set()

    def _check_silence(self) -> None:
        if self._granted > 0 and time.monotonic() - self._heard > SILENCE_SECONDS:
            raise BrokerAway("NATS is silent")


@contextlib.asynccontextmanager
async def pulling(
    connection: Connection, stream: str, consumer: str, batch: int
) -> AsyncIterator[Puller]:
    """A puller of `batch` messages at a time."""
    puller = Puller(connection, stream, consumer, batch)
    subscription = await puller.listen()
    try:
        yield puller
    finally:
        with contextlib.suppress(nats.errors.Error):
            await subscription.unsubscribe()
