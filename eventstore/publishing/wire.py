"""NATS' wire format as the publisher uses it: events as HPUB frames, and acknowledgements.

nats-py's `publish` spends most of its time on a message's headers, checking and encoding one by
one what is known to be right; here a message is one text, and many messages are one write.
"""

import json
import re
from collections.abc import Callable
from functools import lru_cache

from nats.aio.client import Client
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

from eventstore.client.events import StreamHead
from eventstore.client.notice import Facts, header_lines, source_of, subject_of

WRONG_LAST_SEQUENCE = 10071

# Printable ASCII but wildcards, in words between dots; what the log takes as a type is less.
_SUBJECT = re.compile(r"[!-)+,\-/-=?-~]+(\.[!-)+,\-/-=?-~]+)*")


class NotAccepted(Exception):
    """The broker did not store an event at its position: log and stream have to be compared."""


class Fenced(NotAccepted):
    """The stream is not where the event belongs: another publisher, or a foreign message."""


def framing(head: StreamHead, inbox: str, max_payload: int) -> Callable[[Facts], bytes]:
    """What makes a frame of an event's facts: the bytes that publish it to the broker.

    The event's position stands in the reply's subject, and the broker stores it at that sequence
    of that stream or not at all.

    Args:
        head: of the log that the events are of.
        inbox: under which the broker is to acknowledge.
        max_payload: the most bytes that the broker takes as headers and payload of a message.

    Raises (the function):
        NotAccepted: the broker would not take this event.
    """
    stream, source = head.stream, source_of(head.stream, head.log_id)

    @lru_cache(maxsize=1_000)
    def command(event_type: str) -> bytes:
        subject = subject_of(stream, event_type)
        if not _SUBJECT.fullmatch(subject):
            raise NotAccepted(f"the event type {event_type[:100]!r} can't be part of a subject")
        return f"HPUB {subject} {inbox}.".encode("ascii")

    def frame(facts: Facts) -> bytes:
        position, data = facts.position, facts.data
        headers = (
            f"NATS/1.0\r\n{header_lines(facts, source)}"
            f"Nats-Expected-Stream: {stream}\r\n"
            f"Nats-Expected-Last-Sequence: {position - 1}\r\n\r\n"
        ).encode("ascii")
        length = len(headers)
        total = length + len(data)
        if total > max_payload:
            raise NotAccepted(
                f"event {position} takes {total} bytes, NATS' max_payload is {max_payload}"
            )
        start = command(facts.event_type)
        return b"%b%d %d %d\r\n%b%b\r\n" % (start, position, length, total, headers, data)

    return frame


class Acknowledgements(Parser):
    """nats-py's parser, which takes the usual acknowledgements out of the stream of bytes itself.

    A reply would go a long way through parser, message, queue and task; almost all of them say no
    more than "stored where it belongs", which one pattern tells. What it does not match goes
    nats-py's way to the subscription.
    """

    _STORED = re.compile(
        rb'MSG (_INBOX\.[^ .]+)\.(\d+) \d+ \d+\r\n\{"stream":"([^"]+)", ?"seq":\2\}\r\n'
    )

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self._takers: dict[tuple[bytes, bytes], Callable[[int], None]] = {}

    @classmethod
    def of(cls, client: Client) -> "Acknowledgements | None":
        """The one of a connected client, put in place at first; None while that can't be done."""
        current = client._ps
        if isinstance(current, cls):
            return current
        if current.buf or current.state != AWAITING_CONTROL_LINE:
            return None
        client._ps = parser = cls(client)
        return parser

    def tell(self, inbox: str, stream: str, stored: Callable[[int], None]) -> None:
        """Call `stored` with the position of each event that this stream stored at it."""
        self._takers[inbox.encode(), stream.encode()] = stored

    def forget(self, inbox: str, stream: str) -> None:
        """Tell no more."""
        del self._takers[inbox.encode(), stream.encode()]

    async def parse(self, data: bytes = b"") -> None:
        """See nats-py."""
        self.buf.extend(data)
        if self.state == AWAITING_CONTROL_LINE and self._takers:
            received, start = bytes(self.buf), 0
            while found := self._STORED.match(received, start):
                taker = self._takers.get((found[1], found[3]))
                if taker is None:
                    break
                taker(int(found[2]))
                start = found.end()
            del self.buf[:start]
            if self.buf.startswith(b"MSG _INBOX.") and self.buf.count(b"\r\n") < 2:
                return  # The end of it is still to come.
        await super().parse()


def problem_of(reply: bytes, stream: str, position: int) -> NotAccepted | None:
    """What is wrong, by the broker's reply; None if the event was stored at its position."""
    if not reply:
        return NotAccepted("no stream takes the subject")
    try:
        answer = json.loads(reply)
        error = answer.get("error") or {}
        code, description = int(error.get("err_code") or 0), str(error.get("description", ""))
        sequence = int(answer.get("seq") or 0)
    except (ValueError, TypeError, AttributeError):
        return NotAccepted(f"the answer {reply[:100]!r} can't be read")
    if code == WRONG_LAST_SEQUENCE:
        return Fenced(description)
    if error:
        return NotAccepted(f"{description} ({code})")
    if answer.get("stream") != stream or answer.get("duplicate"):
        return Fenced(f"event {position} was not stored: {reply[:200]!r}")
    if sequence != position:
        return Fenced(f"event {position} was stored at {sequence}")
    return None
