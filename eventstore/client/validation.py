"""What the log takes: bounds and alphabets that keep later readers and NATS out of trouble."""

import json
import re
from collections.abc import Sequence
from typing import NoReturn

from eventstore.client.errors import InvalidEvent
from eventstore.client.events import NewEvent
from eventstore.client.port import Append

MAX_DATA_BYTES = 256 * 1024
MAX_METADATA_BYTES = 8 * 1024
MAX_TYPE_LENGTH = 128
MAX_AGGREGATE_ID_LENGTH = 255
MAX_EVENTS_PER_APPEND = 1_000
MAX_EVENTS_PER_BATCH = 10_000
# One append has to fit into one gRPC message of 4 MiB.
MAX_BYTES_PER_APPEND = 3 * 1024 * 1024
MAX_VERSION = 2**63 - 1
# Aggregates of the log itself, `log:<stream>`: what they say decides how a log is recovered.
OWN_PREFIX = "log:"

# A type is the tail of a NATS subject: no spaces, wildcards or empty tokens.
_TYPE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_STREAM = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def validate(append: Append) -> None:
    """Raise InvalidEvent, in words for the caller, unless the log can take this append."""
    events = append.events
    if not 1 <= len(events) <= MAX_EVENTS_PER_APPEND:
        raise InvalidEvent(f"an append has 1 to {MAX_EVENTS_PER_APPEND} events")
    expected = append.expected_version
    if expected is not None and not 0 <= expected <= MAX_VERSION:
        raise InvalidEvent("expected_version is 0 or more")
    first = events[0]
    for event in events:
        validate_event(event)
        if (event.stream, event.aggregate_type, event.aggregate_id) != (
            first.stream,
            first.aggregate_type,
            first.aggregate_id,
        ):
            raise InvalidEvent("all events of an append are of one aggregate and one stream")
    if len({event.event_id for event in events}) < len(events):
        raise InvalidEvent("the same event_id twice in one append")
    if append_bytes(append) > MAX_BYTES_PER_APPEND:
        raise InvalidEvent(f"an append is larger than {MAX_BYTES_PER_APPEND // 1024} KiB")


def append_bytes(append: Append) -> int:
    """How large the data and metadata of an append are together, in bytes of UTF-8."""
    return sum(len((event.data + event.metadata).encode()) for event in append.events)


def validate_batch(appends: Sequence[Append]) -> None:
    """Raise InvalidEvent if the batch as a whole is too large."""
    if sum(len(append.events) for append in appends) > MAX_EVENTS_PER_BATCH:
        raise InvalidEvent(f"a batch has at most {MAX_EVENTS_PER_BATCH} events")


def validate_event(event: NewEvent) -> None:
    """Raise InvalidEvent unless the event is well formed and within the bounds."""
    if event.event_id.int == 0:
        raise InvalidEvent("event_id is the nil UUID")
    _check_name("event_type", event.event_type)
    _check_name("aggregate_type", event.aggregate_type)
    validate_aggregate_id(event.aggregate_id)
    if event.aggregate_id.startswith(OWN_PREFIX):
        raise InvalidEvent(f"aggregate_id begins with {OWN_PREFIX}, which is the log's own")
    if not is_stream_name(event.stream):
        raise InvalidEvent("stream is 1 to 64 of the letters A-Z, a-z, 0-9, - and _")
    if event.data:
        _check_json("event_data", event.data, MAX_DATA_BYTES)
    if not isinstance(_check_json("metadata", event.metadata, MAX_METADATA_BYTES), dict):
        raise InvalidEvent("metadata is not a JSON object")


def is_stream_name(name: str) -> bool:
    """Whether a stream can have this name."""
    return _STREAM.fullmatch(name) is not None


def validate_aggregate_id(aggregate_id: str) -> None:
    """Raise InvalidEvent unless this can be the id of an aggregate."""
    if not 1 <= len(aggregate_id) <= MAX_AGGREGATE_ID_LENGTH:
        raise InvalidEvent(f"aggregate_id has 1 to {MAX_AGGREGATE_ID_LENGTH} characters")
    if _CONTROL.search(aggregate_id):
        raise InvalidEvent("aggregate_id has a control character")


def _check_name(field: str, value: str) -> None:
    if len(value) > MAX_TYPE_LENGTH or not _TYPE.fullmatch(value):
        raise InvalidEvent(
            f"{field} is dot-separated words of the letters A-Z, a-z, 0-9, - and _, "
            f"at most {MAX_TYPE_LENGTH} characters"
        )


def _check_json(field: str, text: str, max_bytes: int) -> object:
    try:
        if len(text.encode()) > max_bytes:
            raise InvalidEvent(f"{field} is larger than {max_bytes // 1024} KiB")
        return _JSON.decode(text)
    except (ValueError, RecursionError):
        raise InvalidEvent(f"{field} is not JSON") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# `json.loads` with an option makes a decoder for each text.
_JSON = json.JSONDecoder(parse_constant=_refuse_constant)
