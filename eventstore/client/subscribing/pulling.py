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
from eventstore.client.subscribing.arriving import Arrivals

REQUEST_SECONDS = 30.0
HEARTBEAT_SECONDS = 5.0
# Two missed heartbeats and some grace.
SILENCE_SECONDS = 12.0


class ConsumerGone(Exception):
    """The consumer, or its stream, was deleted."""


class Puller:
    """Keeps requests for messages open at the server and hands out what has arrived.

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
        self._interrupted = False
        self._reading: asyncio.ReadTransport | None = None
        self._failure: Exception | None = None

    async def listen(self) -> Subscription:
        """Be ready to receive; nothing is asked for before the first `take`."""
        return await self._client.subscribe(f"{self._inbox}.*", cb=self._on_message)

    def listen_directly(self, subscription: Subscription) -> None:
        """Receive past nats-py, on a connection that is there for this puller alone.

        From one `take` to the next it is left unread. What comes in the meantime would wake the
        process message by message, in the midst of its work; the kernel keeps it, and it is read
        all at once. Whoever expects something else of the connection calls `hear` before.
        """
        self._client._ps = Arrivals(self._client, subscription._id, self._on_arrival)
        writer = getattr(self._client._transport, "_io_writer", None)
        self._reading = writer.transport if writer is not None else None

    def interrupt(self) -> None:
        """Have `take` return at once with what there is, now or when it is next called."""
        self._interrupted = True
        self._news.set()

    async def take(self, limit: int, timeout: float, *, not_before: float = 0.0) -> list[Msg]:
        """Up to `limit` messages, as soon as there is one; none after `timeout` seconds.

        Args:
            not_before: on the monotonic clock; until then more may come.

        Raises:
            ConsumerGone: it has to be made anew.
            BrokerAway: the server is silent, or can't serve now.
        """
        await self._ask()
        pause = not_before - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        self.hear()
        if not await self._arrival(timeout):
            self._check_silence()
        self._interrupted = False
        if self._arrived:
            taken = [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]
            await self._ask()
            if self._reading is not None:
                self._reading.pause_reading()
            return taken
        if self._failure is not None:
            raise self._failure
        return []

    def waiting(self) -> list[Msg]:
        """The messages that arrived and were not taken yet."""
        return list(self._arrived)

    def hear(self) -> None:
        """Read from the connection again, until messages are taken."""
        if self._reading is not None:
            self._reading.resume_reading()

    async def _arrival(self, timeout: float) -> bool:
        """Wait for a message, a failure or an interruption; False when the time is up."""
        if self._arrived or self._failure is not None or self._interrupted:
            return True
        self._news.clear()
        try:
            async with asyncio.timeout(timeout):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def _ask(self) -> None:
        """Ask for what a batch lacks, if that is half of one at least."""
        lacking = self._batch - self._granted - len(self._arrived)
        if 2 * lacking < self._batch or self._failure is not None:
            return
        if self._granted <= 0:
            self._heard = time.monotonic()
        self._request += 1
        self._granted += lacking
        request = {
            "batch": lacking,
            "expires": int(REQUEST_SECONDS * 1e9),
            "idle_heartbeat": int(HEARTBEAT_SECONDS * 1e9),
        }
        await self._client.publish(
            self._subject, json.dumps(request).encode(), reply=f"{self._inbox}.{self._request}"
        )

    async def _on_message(self, message: Msg) -> None:
        headers = message.headers or {}
        status = headers.get("Status") if message.subject.startswith(self._inbox) else None
        if status is None:
            self._on_arrival(message)
        else:
            self._heard = time.monotonic()
            self._on_status(status, headers)

    def _on_arrival(self, message: Msg) -> None:
        self._heard = time.monotonic()
        self._granted -= 1
        self._arrived.append(message)
        self._news.set()

    def _on_status(self, status: str, headers: Mapping[str, str]) -> None:
        description = headers.get("Description", "")
        match status:
            case "100":
                return
            case "404" | "408":
                # The request is over; so many of its messages will not come.
                left = headers.get("Nats-Pending-Messages", "")
                self._granted -= int(left) if left.isdigit() else self._granted
                self._granted = max(self._granted, 0)
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
    connection: Connection, stream: str, consumer: str, batch: int, *, directly: bool = False
) -> AsyncIterator[Puller]:
    """A puller of `batch` messages at a time; `directly`: see `Puller.listen_directly`."""
    puller = Puller(connection, stream, consumer, batch)
    subscription = await puller.listen()
    if directly:
        puller.listen_directly(subscription)
    try:
        yield puller
    finally:
        with contextlib.suppress(nats.errors.Error):
            await subscription.unsubscribe()
