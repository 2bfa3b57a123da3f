"""Messages are taken out of the stream of bytes as nats-py would read them, however it is cut."""

import asyncio

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from eventstore.client.subscribing.arriving import Arrivals

OURS, OTHERS = 7, 8


def message(sid: int, number: int, headers: str = "ce-id: a%20b\r\nce-x:\tspaced \r\n") -> bytes:
    head = f"NATS/1.0\r\n{headers}\r\n".encode()
    data = b'{"a":"HMSG \r\n"}' * number
    subject, reply = f"ORDERS.type-{number}", f"$JS.ACK.ORDERS.tests.1.{number}.1.1.0"
    line = f"HMSG {subject} {sid} {reply} {len(head)} {len(head) + len(data)}\r\n"
    return line.encode() + head + data + b"\r\n"


STATUS = b"HMSG _INBOX.a.1 7 28 28\r\nNATS/1.0 100 Heartbeat\r\n\r\n\r\n\r\n"
PLAIN = b"MSG _INBOX.b 8 2\r\nok\r\n"
STREAM = [message(OURS, 1), message(OURS, 2), STATUS, message(OTHERS, 3), PLAIN, message(OURS, 4)]


class Received:
    """A client that is not connected, whose parser is given bytes."""

    def __init__(self) -> None:
        self.client = Client()
        for sid in (OURS, OTHERS):
            self.client._subs[sid] = Subscription(self.client, id=sid)
        self.taken: list[Msg] = []
        self.client._ps = Arrivals(self.client, OURS, self.taken.append)

    async def parse(self, *parts: bytes) -> None:
        for part in parts:
            await self.client._ps.parse(part)

    def queued(self, sid: int) -> list[Msg]:
        queue = self.client._subs[sid]._pending_queue
        return [queue.get_nowait() for _ in range(queue.qsize())]


def by_nats_py(stream: bytes) -> list[Msg]:
    async def read() -> list[Msg]:
        client = Client()
        client._subs[OURS] = Subscription(client, id=OURS)
        await client._ps.parse(stream)
        queue = client._subs[OURS]._pending_queue
        return [queue.get_nowait() for _ in range(queue.qsize())]

    return asyncio.run(read())


def told(found: list[Msg]) -> list[tuple[str, str, object, bytes]]:
    return [(each.subject, each.reply, each.headers, each.data) for each in found]


def test_what_is_taken_is_what_nats_py_would_have_read() -> None:
    stream = b"".join(message(OURS, number) for number in range(1, 20))

    async def read() -> list[Msg]:
        received = Received()
        await received.parse(stream)
        return received.taken

    assert told(asyncio.run(read())) == told(by_nats_py(stream))


@pytest.mark.parametrize("size", [1, 2, 7, 50, 10_000])
def test_nothing_is_lost_wherever_the_stream_is_cut(size: int) -> None:
    stream = b"".join(STREAM)

    async def read() -> None:
        received = Received()
        await received.parse(*(stream[at : at + size] for at in range(0, len(stream), size)))
        statuses = received.queued(OURS)
        taken = [each.subject for each in received.taken]
        assert taken + [each.subject for each in statuses if each.reply] == sorted(
            ["ORDERS.type-1", "ORDERS.type-2", "ORDERS.type-4"]
        )
        assert [each.headers for each in statuses if not each.reply] == [
            {"Status": "100", "Description": "Heartbeat"}
        ]
        assert [each.data for each in received.queued(OTHERS)][-1] == b"ok"
        assert received.client._ps.buf == b""

    asyncio.run(read())


def test_headers_that_are_none_are_left_out() -> None:
    async def read() -> list[Msg]:
        received = Received()
        await received.parse(message(OURS, 1, headers="no colon\r\na: \xe9: b\r\n"))
        return received.taken

    (found,) = asyncio.run(read())
    assert found.headers == {"a": "\xe9: b"}
