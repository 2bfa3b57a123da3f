"""Events on their way to JetStream, many in flight, each accepted only at its own position."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from eventstore.client.broker import BrokerAway, Connection
from eventstore.client.events import StreamHead
from eventstore.client.notice import Facts
from eventstore.publishing.wire import Acknowledgements, NotAccepted, framing, problem_of

ACKNOWLEDGE_SECONDS = 5.0
# The broker stores these while the next ones are made.
FRAMES_PER_WRITE = 100
# In flight together; a small frame counts as `LEAST_BYTES`, so these are 500 events at most.
BYTES_IN_FLIGHT = 4 * 1024 * 1024
LEAST_BYTES = BYTES_IN_FLIGHT // 500


class NotAcknowledged(BrokerAway):
    """The broker took events and says nothing of them."""


class Sender:
    """Publishes events while earlier ones are in flight, on one inbox for the replies."""

    def __init__(self, connection: Connection, head: StreamHead) -> None:
        self._connection = connection
        self.inbox = connection.client.new_inbox()
        self._frame = framing(head, self.inbox, connection.client.max_payload)
        self._stream = head.stream
        # What is in flight by position, in bytes that it counts as; all of it; and what is to
        # be left of it when `_answered` is told.
        self._waiting: dict[int, int] = {}
        self._flying = 0
        self._enough = 0
        self._answered = asyncio.Event()
        self._refused: dict[int, NotAccepted] = {}

    async def listen(self) -> Subscription:
        """Hear the broker's replies."""
        return await self._connection.client.subscribe(f"{self.inbox}.*", cb=self._on_reply)

    async def send(self, events: Sequence[Facts]) -> None:
        """Publish events of consecutive positions; they may be in flight yet when this returns.

        Raises:
            NotAccepted: for the first of those sent so far that was not stored at its position.
            NotAcknowledged: some of them are not answered, or not taken.
        """
        portion: list[bytes] = []
        first = events[0].position
        weight = 0
        for facts in events:
            frame = self._frame(facts)
            heavier = weight + max(len(frame), LEAST_BYTES)
            if portion and (len(portion) == FRAMES_PER_WRITE or heavier > BYTES_IN_FLIGHT):
                await self._in_time(self._send(first, portion))
                first, portion, heavier = facts.position, [], heavier - weight
            portion.append(frame)
            weight = heavier
        await self._in_time(self._send(first, portion))

    async def settle(self) -> None:
        """Wait until all that was sent is stored; raises as `send` does."""
        await self._in_time(self._answers(0))

    async def _send(self, first: int, frames: Sequence[bytes]) -> None:
        weights = [max(len(frame), LEAST_BYTES) for frame in frames]
        weight = sum(weights)
        await self._answers(max(BYTES_IN_FLIGHT - weight, 0))
        self._waiting.update(enumerate(weights, first))
        self._flying += weight
        await self._connection.write(frames)

    def published(self, sent: int) -> int:
        """Up to where all is stored, if events were sent up to the position `sent`."""
        return min((*self._waiting, *self._refused), default=sent + 1) - 1

    def stored(self, position: int) -> None:
        """The broker has this event where it belongs."""
        self._flying -= self._waiting.pop(position, 0)
        if self._flying <= self._enough:
            self._answered.set()

    async def _answers(self, enough: int) -> None:
        """Wait until no more than `enough` bytes are in flight; none, if one was refused."""
        self._enough = 0 if self._refused else enough
        if self._flying > self._enough:
            self._answered.clear()
            await self._answered.wait()
        if self._refused:
            raise self._refused[min(self._refused)]

    async def _in_time(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
                await work
        except TimeoutError:
            raise NotAcknowledged(f"{len(self._waiting)} events were not acknowledged") from None

    async def _on_reply(self, message: Msg) -> None:
        position = int(message.subject.rpartition(".")[2])
        if position not in self._waiting:
            return
        if (problem := problem_of(message.data, self._stream, position)) is not None:
            self._refused[position] = problem
            # What follows on it is refused as well, and is waited for.
            self._enough = 0
        self.stored(position)


@contextlib.asynccontextmanager
async def sending(connection: Connection, head: StreamHead) -> AsyncIterator[Sender]:
    """A sender for the log with this head."""
    sender = Sender(connection, head)
    shortcut = Acknowledgements.of(connection.client)
    subscription = await sender.listen()
    if shortcut is not None:
        shortcut.tell(sender.inbox, head.stream, sender.stored)
    try:
        yield sender
    finally:
        if shortcut is not None:
            shortcut.forget(sender.inbox, head.stream)
        with contextlib.suppress(nats.errors.Error):
            await subscription.unsubscribe()
