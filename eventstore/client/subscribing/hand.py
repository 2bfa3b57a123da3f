"""The messages that a worker has in hand, until each is acknowledged or given back."""

import contextlib
import json
from collections import deque
from collections.abc import Collection, Iterable, Sequence
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
        self._connection = connection
        self._replies: dict[Delivery, str] = {}
        self._settled: deque[tuple[Delivery, Verdict]] = deque()

    def add(self, messages: Sequence[Msg]) -> None:
        """Take messages in hand."""
        for message in messages:
            delivered, sequence = _counts(message.reply)
            delivery = Delivery(
                sequence=sequence,
                subject=message.subject,
                headers=message.headers or {},
                data=message.data,
                redelivered=delivered > 1,
            )
            self._replies[delivery] = message.reply

    def deliveries(self, but: Collection[Delivery] = ()) -> list[Delivery]:
        """What is not settled yet, without those."""
        return [delivery for delivery in self._replies if delivery not in but]

    def settle(self, delivery: Delivery, verdict: Verdict) -> None:
        """Say what became of a message; from any thread. The broker is told by `send_settled`."""
        self._settled.append((delivery, verdict))

    async def still_working(self, waiting: Sequence[Msg]) -> None:
        """Keep the broker from delivering again what is being worked on, or waits for its turn."""
        replies = [*self._replies.values(), *(message.reply for message in waiting)]
        await self._send([(reply, IN_PROGRESS) for reply in replies])

    async def give_back(self, seconds: float, but: Collection[Delivery] = ()) -> None:
        """Have what is not settled, without those, delivered again, after a while."""
        # What was settled before comes first.
        self._settled.extend((delivery, Later(seconds)) for delivery in self.deliveries(but))
        await self.send_settled()

    async def send_settled(self) -> None:
        """Tell the broker what became of messages, all in one write."""
        answers: list[tuple[str, bytes]] = []
        while self._settled:
            delivery, verdict = self._settled.popleft()
            if (reply := self._replies.pop(delivery, None)) is not None:
                answers.append((reply, _payload(verdict)))
        if answers:
            await self._send(answers)

    async def _send(self, answers: Iterable[tuple[str, bytes]]) -> None:
        frames = [
            b"PUB %b %d\r\n%b\r\n" % (reply.encode(), len(payload), payload)
            for reply, payload in answers
        ]
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._connection.write(frames)


def _payload(verdict: Verdict) -> bytes:
    match verdict:
        case Done():
            return ACKNOWLEDGE
        case Later(seconds):
            return b"-NAK " + json.dumps({"delay": int(seconds * 1e9)}).encode()
        case _:
            assert_never(verdict)


def _counts(reply: str) -> tuple[int, int]:
    """How often the message was delivered, and its sequence in the stream.

    From its reply subject, which is `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>...`, or
    `$JS.ACK.<domain>.<account>.<stream>.<consumer>...`: ADR-15 of NATS.
    """
    tokens = reply.split(".")
    place = 4 if len(tokens) < 11 else 6
    return int(tokens[place]), int(tokens[place + 1])
