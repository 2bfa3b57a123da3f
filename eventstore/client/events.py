"""What an event is, before and after the log took it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

DEFAULT_STREAM = "ORDERS"
# Made once: `json.dumps` makes one for each call that asks for anything but its defaults.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_DECODER = json.JSONDecoder()


def to_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces; equal values are equal texts."""
    return _ENCODER.encode(value)


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """A fact to append. `data` and `metadata` are JSON text, kept byte for byte."""

    event_id: UUID
    event_type: str
    aggregate_id: str
    aggregate_type: str
    data: str
    metadata: str = "{}"
    stream: str = DEFAULT_STREAM


class _Parsed:
    """A field's JSON object, parsed when it is asked for and then kept with the event.

    `functools.cached_property` takes a lock for that, which costs as much as parsing metadata.
    """

    def __init__(self, field_name: str) -> None:
        self._field_name = field_name

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, event: Any, owner: type) -> dict[str, Any]:
        parsed = event.__dict__[self._name] = _json_object(event.__dict__[self._field_name])
        return parsed


@dataclass(frozen=True, kw_only=True)
class Event:
    """A fact as the log holds it.

    `version` counts from 1 within the aggregate, `position` from 1 within the stream, both
    without gaps. `recorded_at` is for people: order by version or position, never by time.
    `payload` and `context` are `data` and `metadata` parsed; a ValueError if that is not a JSON
    object.
    """

    event_id: UUID
    event_type: str
    aggregate_id: str
    aggregate_type: str
    data: str
    metadata: str
    stream: str
    version: int
    position: int
    recorded_at: datetime
    hash: bytes = field(repr=False)

    payload = _Parsed("data")
    context = _Parsed("metadata")


def _json_object(text: str) -> dict[str, Any]:
    value, end = _DECODER.raw_decode(text) if text[:1] == "{" else (None, -1)
    if end != len(text):
        # Nothing at all, space around it, or what is no object.
        value = json.loads(text or "{}")
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


@dataclass(frozen=True, kw_only=True)
class StreamHead:
    """Where a stream stands: the id of its log, and the position and hash of its last event."""

    stream: str
    log_id: UUID
    position: int
    hash: bytes


def reaction_id(cause: UUID, reaction: str) -> UUID:
    """The id of the event that `reaction` ("context.name") answers to the event `cause`.

    Every outcome of the reaction has this one id, so that a redelivered cause can't have a
    second effect, whatever the second run decides.
    """
    return uuid5(cause, reaction)


def metadata_for(
    *,
    actor: str,
    schema_version: int = 1,
    cause: "Event | None" = None,
    correlation_id: str = "",
    traceparent: str = "",
    extra: Mapping[str, Any] | None = None,
) -> str:
    """The metadata of a new event, as JSON text.

    Args:
        actor: who did it, such as "api-client:<uuid>", "staff:<name>" or "payments".
        schema_version: of the event's data.
        cause: the event that it reacts to; gives correlation, causation and trace.
        correlation_id: of the whole conversation, where there is no cause.
        traceparent: W3C trace context, where there is no cause.
        extra: further keys.
    """
    if cause is not None:
        correlation_id = str(cause.context.get("correlation_id", "")) or str(cause.event_id)
        traceparent = str(cause.context.get("traceparent", ""))
    metadata: dict[str, Any] = {
        "actor": actor,
        "schema_version": schema_version,
        "correlation_id": correlation_id,
        "causation_id": str(cause.event_id) if cause is not None else "",
        "traceparent": traceparent,
        **(extra or {}),
    }
    return to_json({key: value for key, value in metadata.items() if value != ""})
