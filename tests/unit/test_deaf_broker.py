"""A broker that greets and then says and reads nothing more, and a connection that is gone."""

import asyncio
import contextlib
import gc
import json
from collections.abc import AsyncIterator

import pytest
from nats.aio.msg import Msg

from eventstore.client import broker
from eventstore.client.broker import BrokerAway, connected
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.notice import facts_of
from eventstore.client.subscribing.hand import Hand
from eventstore.publishing import sending
from tests.contract.new_events import new_event


@pytest.mark.parametrize("events", [1, 40])
def test_a_broker_that_reads_nothing_is_waited_for_no_longer_than_its_answers(
    monkeypatch: pytest.MonkeyPatch, events: int
) -> None:
    """More than the sockets hold: the writing is what hangs, and nats-py is deaf meanwhile."""
    monkeypatch.setattr(sending, "ACKNOWLEDGE_SECONDS", 0.2)
    log = InMemoryEventStore()
    for number in range(events):
        log.append([new_event(f"order-{number}", data=f'"{"x" * 200_000}"')])

    async def publish() -> None:
        async with deaf_broker() as url, connected(url, "test") as connection:
            async with asyncio.timeout(10), sending.sending(connection, log.head()) as sender:
                await sender.send(list(map(facts_of, log.read_stream())))
                await sender.settle()

    with pytest.raises(BrokerAway, match="not acknowledged"):
        asyncio.run(publish())


def test_settling_ends_with_the_patience_of_who_settles() -> None:
    async def give_back() -> None:
        async with deaf_broker() as url, connected(url, "test") as connection:
            hand = Hand(connection)
            reply = f"$JS.ACK.S.C.1.1.1.1.1{'x' * 8_000_000}"
            hand.add([Msg(_client=connection.client, subject="S.t", reply=reply)])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    while True:
                        await hand.still_working([])
                        await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(give_back(), 20))


def test_a_connection_is_lost_also_when_nats_py_does_not_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broker, "PING_SECONDS", 0.01)

    async def lose() -> None:
        async with deaf_broker() as url, connected(url, "test") as connection:
            connection.client._closed_cb = None
            await connection.client.close()
            async with asyncio.timeout(10):
                await connection.raise_when_lost()

    with pytest.raises(BrokerAway, match="lost"):
        asyncio.run(lose())


@contextlib.asynccontextmanager
async def deaf_broker() -> AsyncIterator[str]:
    """The URL of a server that greets a client and then reads nothing."""
    ended = asyncio.Event()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"server_id": "deaf", "version": "2.11.0", "headers": True, "max_payload": 1 << 20}
        writer.write(b"INFO %b\r\n" % json.dumps(info).encode())
        await reader.readuntil(b"PING\r\n")
        writer.write(b"PONG\r\n")
        await ended.wait()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0, limit=4096) as server:
        try:
            yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            ended.set()


def test_a_connection_that_broke_with_something_to_send_is_closed_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken() -> None:
        async with deaf_broker() as url, connected(url, "test") as connection:
            transport = connection.client._transport
            assert transport is not None
            # As nats-py leaves it when a write of ours has failed and it had to unsubscribe.
            connection.client._pending, connection.client._pending_data_size = [b"UNSUB 1\r\n"], 9
            transport._bare_io_reader.set_exception(BrokenPipeError())
            await asyncio.wait([connection.client._reading_task], timeout=10)
            assert connection.client._reading_task.done()

    asyncio.run(broken())
    gc.collect()
    assert "never retrieved" not in caplog.text
