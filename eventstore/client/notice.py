"""Events as NATS messages: CloudEvents 1.0 in binary mode. The payload is the event's data alone;
everything that a subscriber needs to find the event in the log stands in the headers.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote
from uuid import UUID

from eventstore.client.errors import InvalidEvent
from eventstore.client.events import Event
from eventstore.client.validation import validate_aggregate_id

# Printable ASCII but space, double quote and percent: what the binding leaves as it is.
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_PLAIN = re.compile(r"[!#$&-~]*")
_JSON = "application/json"
_DECODER = json.JSONDecoder()


class BadNotice(Exception):
    """The message is no notice of an event of this stream."""


@dataclass(frozen=True)
class Notice:
    """Which event a message is about."""

    event_id: UUID
    event_type: str
    aggregate_id: str
    aggregate_type: str
    version: int
    position: int


class Facts(NamedTuple):
    """What a message says of an event: a row of the log, or made of an `Event` by `facts_of`."""

    position: int
    event_id: str
    event_type: str
    aggregate_id: str
    aggregate_type: str
    version: int
    recorded_at: datetime
    metadata: str
    data: bytes


def facts_of(event: Event) -> Facts:
    """What a message says of this event."""
    return Facts(
        event.position,
        str(event.event_id),
        event.event_type,
        event.aggregate_id,
        event.aggregate_type,
        event.version,
        event.recorded_at,
        event.metadata,
        event.data.encode(),
    )


def subject_of(stream: str, event_type: str) -> str:
    """The subject that events of a type are published to."""
    return event_type if event_type.startswith(f"{stream}.") else f"{stream}.{event_type}"


def source_of(stream: str, log_id: UUID) -> str:
    """The CloudEvents source of a log's events: one per log, so that logs are told apart."""
    return f"/eventstore/{stream}/{log_id}"


def header_lines(facts: Facts, source: str) -> str:
    """The headers of the message that tells of an event, as lines of a NATS header block: ASCII.

    Empty ones are left out. This is where the publisher spends its time: what many events share
    is kept, and only what has to be is percent-encoded.

    Args:
        source: of the event's log, as `source_of` names it.
    """
    position, event_id, event_type, aggregate_id, aggregate_type, version, at, text, _ = facts
    context = _DECODER.raw_decode(text)[0] if text[:1] == "{" else _DECODER.decode(text)
    # With its metadata a message has all of its event: should the log lose its end, it is here.
    metadata = binascii.b2a_base64(text.encode(), newline=False).decode("ascii")
    return (
        f"{_shared_lines(source, event_type, aggregate_type)}"
        f"ce-id: {event_id}\r\n"
        f"ce-subject: {_quoted(aggregate_id)}\r\n"
        f"ce-time: {_moment(at)}\r\n"
        f"ce-version: {version}\r\n"
        f"ce-position: {position}\r\n"
        f"ce-metadata: {metadata}\r\n"
        f"{_line('ce-correlationid', context.get('correlation_id'))}"
        f"{_line('ce-causationid', context.get('causation_id'))}"
        f"{_line('traceparent', context.get('traceparent'))}"
    )


def headers_of(event: Event, log_id: UUID) -> dict[str, str]:
    """The same headers, as a subscriber gets them."""
    lines = header_lines(facts_of(event), source_of(event.stream, log_id)).splitlines()
    return dict(line.split(": ", 1) for line in lines)


@lru_cache(maxsize=1_000)
def _shared_lines(source: str, event_type: str, aggregate_type: str) -> str:
    return (
        "ce-specversion: 1.0\r\n"
        f"ce-source: {source}\r\n"
        f"ce-datacontenttype: {_JSON}\r\n"
        f"content-type: {_JSON}\r\n"
        f"{_line('ce-type', event_type)}"
        f"{_line('ce-aggregatetype', aggregate_type)}"
    )


@lru_cache(maxsize=100)
def _moment(recorded_at: datetime) -> str:
    """Kept, since the events of one commit were recorded at the same time."""
    return recorded_at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _line(name: str, value: object) -> str:
    return f"{name}: {_quoted(value)}\r\n" if isinstance(value, str) and value else ""


def _quoted(value: str) -> str:
    # A lone surrogate, which JSON can spell, becomes a question mark.
    return value if _PLAIN.fullmatch(value) else quote(value, safe=_SAFE, errors="replace")


def parse(
    stream: str, subject: str, headers: Mapping[str, str], data: bytes, sequence: int
) -> Notice:
    """Read the notice out of the message at `sequence` of the stream.

    Raises:
        BadNotice: something is missing, malformed or contradicts the subject or the sequence; in
            words for an operator.
    """
    values = {name.lower(): value for name, value in headers.items()}
    notice = Notice(
        event_id=_uuid(_required(values, "ce-id")),
        event_type=_required(values, "ce-type"),
        aggregate_id=_required(values, "ce-subject"),
        aggregate_type=_required(values, "ce-aggregatetype"),
        version=_number(values, "ce-version"),
        position=_number(values, "ce-position"),
    )
    try:
        validate_aggregate_id(notice.aggregate_id)
    except InvalidEvent as problem:
        raise BadNotice(str(problem)) from None
    if notice.position != sequence:
        raise BadNotice(f"ce-position is {notice.position} in the message at {sequence}")
    if subject != subject_of(stream, notice.event_type):
        raise BadNotice(f"an event of type {notice.event_type[:100]} on subject {subject[:100]}")
    _check_json(data)
    return notice


def event_of(
    stream: str, subject: str, headers: Mapping[str, str], data: bytes, sequence: int
) -> Event:
    """The event that the message at `sequence` tells of, all of it but its hash, which is empty.

    Raises:
        BadNotice: as `parse`, or the message has not all of the event.
    """
    notice = parse(stream, subject, headers, data, sequence)
    values = {name.lower(): value for name, value in headers.items()}
    try:
        metadata = base64.b64decode(_required(values, "ce-metadata"), validate=True).decode()
        recorded_at = datetime.fromisoformat(_required(values, "ce-time")).astimezone(UTC)
        text = data.decode()
    except (binascii.Error, ValueError):
        raise BadNotice("its metadata, time or data can't be read") from None
    return Event(
        event_id=notice.event_id,
        event_type=notice.event_type,
        aggregate_id=notice.aggregate_id,
        aggregate_type=notice.aggregate_type,
        data=text,
        metadata=metadata,
        stream=stream,
        version=notice.version,
        position=notice.position,
        recorded_at=recorded_at,
        hash=b"",
    )


def _required(values: Mapping[str, str], name: str) -> str:
    value = values.get(name, "")
    if not value:
        raise BadNotice(f"{name} is missing")
    if "%" not in value:
        return value
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise BadNotice(f"{name} is not percent-encoded UTF-8") from None


def _number(values: Mapping[str, str], name: str) -> int:
    text = _required(values, name)
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) > 0):
        raise BadNotice(f"{name} is not a positive whole number")
    return int(text)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise BadNotice("ce-id is not a UUID") from None


def _check_json(data: bytes) -> None:
    try:
        json.loads(data or b"{}")
    except (ValueError, RecursionError):
        raise BadNotice("the payload is not JSON") from None
