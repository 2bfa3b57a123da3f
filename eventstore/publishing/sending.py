"""Pages of events on their way to JetStream, each accepted only at its own position."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from eventstore.client.broker import BrokerAway, Connection
from eventstore.client.events import Event, StreamHead
from eventstore.client.notice import headers_of, subject_of
from eventstore.publishing.jetstream import publish_headers, refusal

ACKNOWLEDGE_SECONDS = 5.0
WRONG_LAST_SEQUENCE = 10071


class NotAccepted(Exception):
    """The broker did not store an event at its position: log and stream have to be compared."""


class Fenced(NotAccepted):
    """The stream is not where the event belongs: another publisher, or a foreign message."""


class Sender:
    """Publishes a page at a time, all of it in flight at once, on one inbox for the replies."""

    def __init__(self, connection: Connection, head: StreamHead) -> None:
        self._client = connection.client
        self._head = head
        self._inbox = connection.client.new_inbox()
        self._waiting: set[int] = set()
        self._refused: dict[int, NotAccepted] = {}
        self._answered = asyncio.Event()

    async def listen(self) -> Subscription:
        """Hear the broker's replies."""
        return await self._client.subscribe(f"{self._inbox}.*", cb=self._on_reply)

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
                for event in events:
                    await self._publish(event)
                await self._answered.wait()
        except TimeoutError:
            raise BrokerAway(f"{len(self._waiting)} events were not acknowledged") from None
        finally:
            self._waiting = set()
        if self._refused:
            raise self._refused[min(self._refused)]

    async def _publish(self, event: Event) -> None:
        await self._client.publish(
            subject_of(event.stream, event.event_type),
            event.data.encode(),
            reply=f"{self._inbox}.{event.position}",
            headers={
                **headers_of(event, self._head.log_id),
                **publish_headers(self._head, event.position),
            },
        )

    async def _on_reply(self, message: Msg) -> None:
        position = int(message.subject.rpartition(".")[2])
        if position not in self._waiting:
            return
        self._waiting.discard(position)
        if (problem := self._problem(position, message)) is not None:
            self._refused[position] = problem
        if not self._waiting:
            self._answered.set()

    def _problem(self, position: int, message: Msg) -> NotAccepted | None:
        if not message.data:
            return NotAccepted("no stream takes the subject")
        sequence, code, description = refusal(message.data)
        if code == WRONG_LAST_SEQUENCE:
            return Fenced(description)
        if code:
            return NotAccepted(f"{description} ({code})")
        if sequence != position:
            return Fenced(f"event {position} was stored at {sequence}")
        return None


@contextlib.asynccontextmanager
async def sending(connection: Connection, head: StreamHead) -> AsyncIterator[Sender]:
    """A sender for the log with this head."""
    sender = Sender(connection, head)
    subscription = await sender.listen()
    try:
        yield sender
    finally:
        with contextlib.suppress(nats.errors.Error):
            await subscription.unsubscribe()
