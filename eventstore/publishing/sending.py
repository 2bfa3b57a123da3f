"""Pages of events on their way to JetStream, each accepted only at its own position."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from eventstore.client.broker import BrokerAway, Connection
from eventstore.client.events import Event, StreamHead
from eventstore.publishing.wire import Acknowledgements, NotAccepted, framing, problem_of

ACKNOWLEDGE_SECONDS = 5.0
# The broker stores these while the next ones are made.
FRAMES_PER_WRITE = 100


class Sender:
    """Publishes a page at a time, all of it in flight at once, on one inbox for the replies."""

    def __init__(self, connection: Connection, head: StreamHead) -> None:
        self._connection = connection
        self.inbox = connection.client.new_inbox()
        self._frame = framing(head, self.inbox, connection.client.max_payload)
        self._stream = head.stream
        self._waiting: set[int] = set()
        self._refused: dict[int, NotAccepted] = {}
        self._answered = asyncio.Event()

    async def listen(self) -> Subscription:
        """Hear the broker's replies."""
        return await self._connection.client.subscribe(f"{self.inbox}.*", cb=self._on_reply)

    async def send(self, events: Sequence[Event]) -> None:
        """Publish events of consecutive positions and wait until all are answered.

        Raises:
            NotAccepted: for the first of them that was not stored at its position.
            BrokerAway: some are not answered.
        """
        self._waiting = {event.position for event in events}
        self._refused = {}
        self._answered.clear()
        try:
            async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
                for start in range(0, len(events), FRAMES_PER_WRITE):
                    some = events[start : start + FRAMES_PER_WRITE]
                    await self._connection.write([self._frame(event) for event in some])
                await self._answered.wait()
        except TimeoutError:
            raise BrokerAway(f"{len(self._waiting)} events were not acknowledged") from None
        finally:
            self._waiting = set()
        if self._refused:
            raise self._refused[min(self._refused)]

    def stored(self, position: int) -> None:
        """The broker has this event where it belongs."""
        self._waiting.discard(position)
        if not self._waiting:
            self._answered.set()

    async def _on_reply(self, message: Msg) -> None:
        position = int(message.subject.rpartition(".")[2])
        if position not in self._waiting:
            return
        if (problem := problem_of(message.data, self._stream, position)) is not None:
            self._refused[position] = problem
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
