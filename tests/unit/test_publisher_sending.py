"""How much the publisher has in flight, and what it makes of the answers: a scripted broker."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable

import pytest

from eventstore.client.broker import BrokerAway, connected
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.notice import Facts, facts_of
from eventstore.publishing import sending
from eventstore.publishing.wire import Fenced
from tests.contract.new_events import new_event

STORED = b'{"stream":"ORDERS","seq":%d}'
REFUSED = b'{"error":{"code":400,"err_code":10071,"description":"wrong last sequence"}}'
IN_FLIGHT = 500


class Broker:
    """Keeps what it is sent; `answer` says what to reply to a position, `None` for nothing yet."""

    def __init__(self, answer: Callable[[int], bytes | None]) -> None:
        self.answer = answer
        self.positions: list[int] = []
        self.fences: list[int] = []
        self.url = ""
        self._due: list[tuple[bytes, int]] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        info = {"server_id": "scripted", "version": "2.11.0", "headers": True}
        writer.write(b"INFO %b\r\n" % json.dumps({**info, "max_payload": 1 << 20}).encode())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while line := await reader.readuntil(b"\r\n"):
                if line.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
                if line.startswith(b"HPUB "):
                    await self._take(line, reader)
        writer.close()

    async def _take(self, line: bytes, reader: asyncio.StreamReader) -> None:
        _, _, reply, _, total = line.split()
        message = await reader.readexactly(int(total) + 2)
        fence = re.search(rb"Nats-Expected-Last-Sequence: (\d+)\r\n", message)
        assert fence
        assert b"Nats-Expected-Stream: ORDERS\r\n" in message
        self.positions.append(int(reply.rpartition(b".")[2]))
        self.fences.append(int(fence[1]))
        self._due.append((reply, self.positions[-1]))
        self.reply()

    def reply(self) -> None:
        """Answer what the script has an answer for by now."""
        due, self._due = self._due, []
        for reply, position in due:
            if (text := self.answer(position)) is None:
                self._due.append((reply, position))
            else:
                self._writers[-1].write(b"MSG %b 1 %d\r\n%b\r\n" % (reply, len(text), text))


@contextlib.asynccontextmanager
async def publishing(
    answer: Callable[[int], bytes | None], log: InMemoryEventStore
) -> AsyncIterator[tuple[Broker, sending.Sender]]:
    broker = Broker(answer)
    async with await asyncio.start_server(broker.serve, "127.0.0.1", 0) as server:
        url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with (
            asyncio.timeout(20),
            connected(url, "test") as connection,
            sending.sending(connection, log.head()) as sender,
        ):
            yield broker, sender


def logged(count: int, size: int = 10) -> tuple[InMemoryEventStore, list[Facts]]:
    log = InMemoryEventStore()
    for number in range(count):
        log.append([new_event(f"order-{number}", data=f'"{"x" * size}"')])
    return log, list(map(facts_of, log.read_stream()))


def test_events_are_sent_while_earlier_ones_are_in_flight_but_not_without_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "ACKNOWLEDGE_SECONDS", 0.5)
    log, facts = logged(IN_FLIGHT + 200)

    async def publish() -> None:
        async with publishing(lambda position: None, log) as (broker, sender):
            for start in range(0, IN_FLIGHT, 250):
                await sender.send(facts[start : start + 250])
            assert sender.published(IN_FLIGHT) == 0
            with pytest.raises(BrokerAway, match="500 events were not acknowledged"):
                await sender.send(facts[IN_FLIGHT:])
            assert broker.positions == list(range(1, IN_FLIGHT + 1))

    asyncio.run(publish())


def test_few_large_events_are_as_much_as_many_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "ACKNOWLEDGE_SECONDS", 0.5)
    log, facts = logged(25, size=250_000)

    async def publish() -> None:
        async with publishing(lambda position: None, log) as (broker, sender):
            with pytest.raises(BrokerAway, match="not acknowledged"):
                for each in facts:
                    await sender.send([each])
            assert 10 < len(broker.positions) < 20

    asyncio.run(publish())


def test_large_events_that_come_together_are_not_in_flight_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "ACKNOWLEDGE_SECONDS", 0.5)
    log, facts = logged(25, size=250_000)

    async def publish() -> None:
        async with publishing(lambda position: None, log) as (broker, sender):
            with pytest.raises(BrokerAway, match="not acknowledged"):
                await sender.send(facts)
            assert 10 < len(broker.positions) < 20

    asyncio.run(publish())


def test_each_event_is_fenced_and_published_once_it_is_stored_at_its_position() -> None:
    log, facts = logged(1_200)

    async def publish() -> None:
        async with publishing(lambda position: STORED % position, log) as (broker, sender):
            for start in range(0, len(facts), 400):
                await sender.send(facts[start : start + 400])
            await sender.settle()
            assert sender.published(1_200) == 1_200
            assert broker.positions == list(range(1, 1_201))
            assert broker.fences == list(range(1_200))

    asyncio.run(publish())


def test_one_that_is_late_holds_back_what_counts_as_published() -> None:
    log, facts = logged(300)
    late = {7}

    def answer(position: int) -> bytes | None:
        return None if position in late else STORED % position

    async def publish() -> None:
        async with publishing(answer, log) as (broker, sender):
            await sender.send(facts)
            while sender.published(300) != 6 or len(sender._waiting) > 1:
                await asyncio.sleep(0.01)
            late.clear()
            broker.reply()
            await sender.settle()
            assert sender.published(300) == 300

    asyncio.run(publish())


def test_the_first_that_is_refused_is_told_when_no_other_is_in_flight() -> None:
    log, facts = logged(IN_FLIGHT + 50)
    late = {IN_FLIGHT}

    def answer(position: int) -> bytes | None:
        return None if position in late else STORED % position if position < 4 else REFUSED

    async def publish() -> None:
        async with publishing(answer, log) as (broker, sender):
            await sender.send(facts[:IN_FLIGHT])
            while sender._waiting.keys() != late:
                await asyncio.sleep(0.01)
            assert sender.published(IN_FLIGHT) == 3
            more = asyncio.ensure_future(sender.send(facts[IN_FLIGHT:]))
            done, _ = await asyncio.wait([more], timeout=0.1)
            assert not done
            late.clear()
            broker.reply()
            with pytest.raises(Fenced):
                await more
            assert max(broker.positions) == IN_FLIGHT
            assert min(sender._refused) == 4

    asyncio.run(publish())
