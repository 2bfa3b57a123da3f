"""The messages that a worker has in hand, until each is acknowledged or given back."""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from typing import assert_never

import nats.errors
from nats.aio.msg import Msg

from eventstore.client.broker import Connection
from eventstore.client.subscribing.delivery import Delivery, Done, Later, Verdict

ACKNOWLEDGE = b"+ACK"
IN_PROGRESS = b"+WPI"


class Hand:
    """Settles messages on a connection; if that is lost, they only come again."""

    def __init__(self, connection: Connection) -> None:
        self._client = connection.client
        self._loop = asyncio.get_running_loop()
        self._replies: dict[Delivery, str] = {}
        self._sending: set[asyncio.Task[None]] = set()

    def add(self, messages: Sequence[Msg]) -> None:
        """Take messages in hand."""
        for message in messages:
            delivery = Delivery(
                sequence=message.metadata.sequence.stream,
                subject=message.subject,
                headers=message.headers or {},
                data=message.data,
            )
            self._replies[delivery] = message.reply

    @property
    def deliveries(self) -> list[Delivery]:
        """What is not settled yet."""
        return list(self._replies)

    def settle(self, delivery: Delivery, verdict: Verdict) -> None:
        """Tell the broker what became of a message; from any thread."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._settle, delivery, verdict)

    async def still_working(self, waiting: Sequence[Msg]) -> None:
        """Keep the broker from delivering again what is being worked on, or waits for its turn."""
        replies = [*self._replies.values(), *(message.reply for message in waiting)]
        for reply in replies:
            await self._send(reply, IN_PROGRESS)

    async def give_back(self, seconds: float) -> None:
        """Have what is not settled delivered again, after a while."""
        for delivery in self.deliveries:
            self._settle(delivery, Later(seconds))
        if self._sending:
            await asyncio.wait(set(self._sending))

    def _settle(self, delivery: Delivery, verdict: Verdict) -> None:
        reply = self._replies.pop(delivery, None)
        if reply is None:
            return
        match verdict:
            case Done():
                payload = ACKNOWLEDGE
            case Later(seconds):
                payload = b"-NAK " + json.dumps({"delay": int(seconds * 1e9)}).encode()
            case _:
                assert_never(verdict)
        task = self._loop.create_task(self._send(reply, payload))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, reply: str, payload: bytes) -> None:
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._client.publish(reply, payload)
