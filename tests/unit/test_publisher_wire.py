"""What the publisher writes to the wire and reads from it, held against nats-py's own parser."""

import asyncio
import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import nats.errors
import pytest
from nats.aio.client import Client
from nats.protocol.command import hpub_cmd
from nats.protocol.parser import HMSG_RE, Parser

from eventstore.client import Event, StreamHead
from eventstore.client.broker import Connection
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.notice import facts_of, headers_of
from eventstore.publishing.wire import (
    Acknowledgements,
    Fenced,
    NotAccepted,
    framing,
    problem_of,
)
from tests.contract.new_events import new_event

LOG_ID = UUID("11111111-2222-3333-4444-555555555555")
HEAD = StreamHead(stream="ORDERS", log_id=LOG_ID, position=7, hash=b"")
INBOX = "_INBOX.abc"
MAX_PAYLOAD = 1024 * 1024


def logged(**changes: Any) -> Event:
    store = InMemoryEventStore()
    store.append([new_event("Küche 7", data='{"ä":"\U0001f600"}')])
    return replace(next(store.read_stream()), **changes)


class Received(Client):
    """A client of nats-py that keeps what its parser finds, headers read as it reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[str, str, dict[str, str], bytes]] = []
        self.pings = 0

    async def _process_ping(self) -> None:
        self.pings += 1

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        found = await self._process_headers(headers)
        self.messages.append((subject.decode(), reply.decode(), found or {}, data))


def received(*frames: bytes) -> list[tuple[str, str, dict[str, str], bytes]]:
    """The messages as a subscriber gets them: the broker adds the subscription's id."""
    client = Received()

    async def parse() -> None:
        for frame in frames:
            verb, subject, rest = frame.split(b" ", 2)
            assert verb == b"HPUB"
            message = b"HMSG %b 1 %b" % (subject, rest)
            assert HMSG_RE.match(message)
            await parser.parse(message)

    parser = Parser(client)
    asyncio.run(parse())
    assert not parser.buf
    return client.messages


def test_a_frame_is_parsed_by_nats_py_as_the_event() -> None:
    events = [logged(position=each) for each in (1, 2, 1_000_000)]
    frame = framing(HEAD, INBOX, MAX_PAYLOAD)
    assert received(*map(frame, map(facts_of, events))) == [
        (
            "ORDERS.order-created",
            f"{INBOX}.{event.position}",
            {
                **headers_of(event, LOG_ID),
                "Nats-Expected-Stream": "ORDERS",
                "Nats-Expected-Last-Sequence": str(event.position - 1),
            },
            event.data.encode(),
        )
        for event in events
    ]


def test_a_frame_is_what_nats_py_would_have_written() -> None:
    event = logged()
    frame = framing(HEAD, INBOX, MAX_PAYLOAD)(facts_of(event))
    headers = frame[frame.index(b"NATS/1.0") : frame.index(b"\r\n\r\n") + 4]
    command = hpub_cmd("ORDERS.order-created", f"{INBOX}.1", headers, event.data.encode())
    assert frame == command


@pytest.mark.parametrize("event_type", ["a b", "a\r\nPUB x 0", "a.*", "a.>", "ü", ""])
def test_an_event_whose_type_is_no_subject_never_reaches_the_wire(event_type: str) -> None:
    frame = framing(HEAD, INBOX, MAX_PAYLOAD)
    with pytest.raises(NotAccepted, match="subject"):
        frame(facts_of(logged(event_type=event_type)))


def test_no_value_can_break_out_of_its_header() -> None:
    strange = 'a\r\nNats-Msg-Id: 1\r\n\r\n\ud800%"ü'
    event = logged(
        aggregate_id=strange,
        aggregate_type=strange,
        metadata=json.dumps({"correlation_id": strange, "traceparent": strange}),
    )
    ((_, _, headers, data),) = received(framing(HEAD, INBOX, MAX_PAYLOAD)(facts_of(event)))
    escaped = "a%0D%0ANats-Msg-Id:%201%0D%0A%0D%0A?%25%22%C3%BC"
    for name in ("ce-subject", "ce-aggregatetype", "ce-correlationid", "traceparent"):
        assert headers[name] == escaped
    assert "Nats-Msg-Id" not in headers
    assert data == event.data.encode()


def test_an_event_larger_than_the_broker_takes_is_named() -> None:
    frame = framing(HEAD, INBOX, 1_000)
    with pytest.raises(NotAccepted, match=r"event 3 takes .* max_payload is 1000"):
        frame(facts_of(logged(position=3, data="x" * 1_000)))


@pytest.mark.parametrize("reply", ['{"stream":"ORDERS","seq":7}', '{"stream":"ORDERS", "seq":7}'])
def test_an_event_stored_at_its_position_is_published(reply: str) -> None:
    assert problem_of(reply.encode(), "ORDERS", 7) is None


def test_an_acknowledgement_that_is_written_otherwise_is_read_all_the_same() -> None:
    reply = b'{ "seq": 7, "stream": "ORDERS", "domain": "hub" }'
    assert problem_of(reply, "ORDERS", 7) is None


@pytest.mark.parametrize(
    "reply",
    [
        {"stream": "ORDERS", "seq": 8},
        {"stream": "ORDERS", "seq": 6},
        {"stream": "OTHER", "seq": 7},
        {"stream": "ORDERS", "seq": 7, "duplicate": True},
        {"error": {"code": 400, "err_code": 10071, "description": "wrong last sequence: 8"}},
    ],
    ids=str,
)
def test_an_event_stored_elsewhere_is_fenced(reply: dict[str, Any]) -> None:
    for text in (json.dumps(reply), json.dumps(reply, separators=(",", ":"))):
        assert isinstance(problem_of(text.encode(), "ORDERS", 7), Fenced)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"", "no stream"),
        (b'{"error":{"code":503,"err_code":10077,"description":"maximum bytes"}}', "10077"),
        (b'{"error":{"code":500,"description":"no code"}}', "no code"),
        (b"nonsense", "can't be read"),
        (b"[7]", "can't be read"),
        (b'{"stream":"ORDERS","seq":"x"}', "can't be read"),
    ],
)
def test_an_error_or_an_unknown_answer_is_no_acknowledgement(reply: bytes, words: str) -> None:
    problem = problem_of(reply, "ORDERS", 7)
    assert problem is not None
    assert not isinstance(problem, Fenced)
    assert words in str(problem)


def acknowledgement(position: int, sequence: int | None = None, inbox: str = INBOX) -> bytes:
    """As the broker sends it."""
    reply = b'{"stream":"ORDERS","seq":%d}' % (sequence or position)
    return b"MSG %b.%d 3 %d\r\n%b\r\n" % (inbox.encode(), position, len(reply), reply)


OTHERS = [
    b"PING\r\n",
    acknowledgement(50, sequence=51),
    acknowledgement(52, inbox="_INBOX.other"),
    b"MSG %b.53 3 0\r\n\r\n" % INBOX.encode(),
    b"MSG _INBOX.long 4 2000\r\n%b\r\n" % (b"x" * 2_000),
    b"HMSG %b.54 3 16 16\r\nNATS/1.0 503\r\n\r\n\r\n" % INBOX.encode(),
    b"MSG eventstore.committed.ORDERS 5 2\r\n10\r\n",
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 61, 100, 333, 1_000, 100_000])
def test_acknowledgements_and_all_else_arrive_however_the_bytes_are_cut(size: int) -> None:
    client, stored = Received(), []
    parser = Acknowledgements.of(client)
    assert parser is not None
    parser.tell(INBOX, "ORDERS", stored.append)
    received = b"".join(
        b"".join(acknowledgement(position) for position in range(first, first + 5)) + other
        for first, other in zip(range(1, 50, 5), [*OTHERS, b""], strict=False)
    )

    async def parse() -> None:
        for start in range(0, len(received), size):
            await client._ps.parse(received[start : start + size])

    asyncio.run(parse())
    plain = [
        int(subject.rpartition(".")[2])
        for subject, _, _, data in client.messages
        if subject.startswith(INBOX) and problem_of(data, "ORDERS", stored_at(subject)) is None
    ]
    assert sorted([*stored, *plain]) == list(range(1, 41))
    unusual = [subject for subject, *_ in client.messages if stored_at(subject) not in plain]
    assert unusual == [
        f"{INBOX}.50",
        "_INBOX.other.52",
        f"{INBOX}.53",
        "_INBOX.long",
        f"{INBOX}.54",
        "eventstore.committed.ORDERS",
    ]
    assert client.pings == 1
    assert not parser.buf


def stored_at(subject: str) -> int:
    """The position that a reply is about; 0 if it is no reply to a publish."""
    number = subject.rpartition(".")[2]
    return int(number) if number.isdigit() else 0


def test_the_usual_acknowledgements_never_become_messages() -> None:
    client, stored = Received(), []
    parser = Acknowledgements.of(client)
    assert parser is Acknowledgements.of(client) is client._ps
    parser.tell(INBOX, "ORDERS", stored.append)
    asyncio.run(parser.parse(b"".join(map(acknowledgement, range(1, 500)))))
    assert stored == list(range(1, 500))
    parser.forget(INBOX, "ORDERS")
    asyncio.run(parser.parse(acknowledgement(500)))
    assert stored[-1] == 499
    assert [subject for subject, *_ in client.messages] == [f"{INBOX}.500"]


def test_a_parser_in_the_middle_of_a_message_is_left_in_place() -> None:
    client = Received()
    asyncio.run(client._ps.parse(acknowledgement(1)[:-5]))
    assert Acknowledgements.of(client) is None
    asyncio.run(client._ps.parse(acknowledgement(1)[-5:]))
    assert Acknowledgements.of(client) is client._ps


def test_a_lost_connection_is_an_error_and_not_a_buffer() -> None:
    with pytest.raises(nats.errors.ConnectionClosedError):
        asyncio.run(Connection("test").write([b"PING\r\n"]))
