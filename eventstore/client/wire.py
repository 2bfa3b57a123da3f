"""The gRPC messages of the log, from and to what callers of the port see."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import grpc

from eventstore.client.errors import (
    EventIdConflict,
    EventStoreError,
    InvalidEvent,
    Overloaded,
    ResultTooLarge,
    TooManyEvents,
    Unavailable,
    UnknownStream,
    VersionConflict,
)
from eventstore.client.events import DEFAULT_STREAM, Event, NewEvent, StreamHead
from eventstore.client.port import Append, Appended
from eventstore.proto import eventstore_pb2 as pb

# A 4 MiB message is what gRPC takes by default, on either side.
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
ACTUAL_VERSION = "actual-version"

STATUS: dict[type[EventStoreError], grpc.StatusCode] = {
    VersionConflict: grpc.StatusCode.ABORTED,
    EventIdConflict: grpc.StatusCode.ALREADY_EXISTS,
    TooManyEvents: grpc.StatusCode.FAILED_PRECONDITION,
    InvalidEvent: grpc.StatusCode.INVALID_ARGUMENT,
    UnknownStream: grpc.StatusCode.NOT_FOUND,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ResultTooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}
# The other way round; what isn't listed says that the event store is broken, not the call.
ERRORS: dict[grpc.StatusCode, type[EventStoreError]] = {
    grpc.StatusCode.ABORTED: VersionConflict,
    grpc.StatusCode.ALREADY_EXISTS: EventIdConflict,
    grpc.StatusCode.FAILED_PRECONDITION: TooManyEvents,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidEvent,
    grpc.StatusCode.NOT_FOUND: UnknownStream,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable,
    grpc.StatusCode.CANCELLED: Unavailable,
}
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


def error_for(
    code: grpc.StatusCode, message: str, actual_version: int | None = None
) -> EventStoreError:
    """The exception that a status stands for."""
    kind = ERRORS.get(code, EventStoreError)
    if kind is VersionConflict:
        return VersionConflict(message, actual_version=actual_version)
    return kind(message)


def parse_event_id(text: str) -> UUID:
    """Read a hyphenated UUID, in any case.

    Raises:
        InvalidEvent: it is anything else: braces, a URN, no hyphens, nil.
    """
    try:
        parsed = UUID(text)
    except ValueError:
        raise InvalidEvent("event_id is not a hyphenated UUID") from None
    if str(parsed) != text.lower() or parsed.int == 0:
        raise InvalidEvent("event_id is not a hyphenated UUID, or nil")
    return parsed


def new_event(message: pb.Event) -> NewEvent:
    """What a client asks to append; raises InvalidEvent for an id that is no UUID."""
    return NewEvent(
        event_id=parse_event_id(message.event_id),
        event_type=message.event_type,
        aggregate_id=message.aggregate_id,
        aggregate_type=message.aggregate_type,
        data=message.event_data,
        metadata=message.metadata or "{}",
        stream=message.stream or DEFAULT_STREAM,
    )


def new_event_message(event: NewEvent) -> pb.Event:
    """What a client sends to append an event."""
    return pb.Event(
        event_id=str(event.event_id),
        event_type=event.event_type,
        aggregate_id=event.aggregate_id,
        aggregate_type=event.aggregate_type,
        event_data=event.data,
        metadata=event.metadata,
        stream=event.stream,
    )


def event(message: pb.Event) -> Event:
    """A stored event, as the server sent it."""
    return Event(
        event_id=UUID(message.event_id),
        event_type=message.event_type,
        aggregate_id=message.aggregate_id,
        aggregate_type=message.aggregate_type,
        data=message.event_data,
        metadata=message.metadata,
        stream=message.stream,
        version=message.version,
        position=message.position,
        recorded_at=datetime.fromisoformat(message.recorded_at),
        hash=message.hash,
    )


def event_message(event: Event) -> pb.Event:
    """A stored event, as the server sends it."""
    return pb.Event(
        event_id=str(event.event_id),
        event_type=event.event_type,
        aggregate_id=event.aggregate_id,
        aggregate_type=event.aggregate_type,
        event_data=event.data,
        metadata=event.metadata,
        stream=event.stream,
        version=event.version,
        position=event.position,
        recorded_at=_timestamp(event.recorded_at),
        hash=event.hash,
    )


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def append(message: pb.AppendEventsRequest) -> Append:
    """One append; raises InvalidEvent as `new_event` does."""
    expected = message.expected_version if message.HasField("expected_version") else None
    return Append(events=list(map(new_event, message.events)), expected_version=expected)


def append_message(append: Append) -> pb.AppendEventsRequest:
    """One append, as the client sends it."""
    return pb.AppendEventsRequest(
        events=map(new_event_message, append.events), expected_version=append.expected_version
    )


def outcome(result: pb.AppendResult) -> Appended | EventStoreError:
    """What became of one append of a batch."""
    if result.code == 0:
        return Appended(versions=tuple(result.versions), positions=tuple(result.positions))
    code = _BY_NUMBER.get(result.code, grpc.StatusCode.UNKNOWN)
    return error_for(code, result.message, result.actual_version)


def outcome_message(outcome: Appended | EventStoreError) -> pb.AppendResult:
    """What became of one append of a batch, as the server sends it."""
    if isinstance(outcome, Appended):
        return pb.AppendResult(versions=outcome.versions, positions=outcome.positions)
    actual = outcome.actual_version if isinstance(outcome, VersionConflict) else None
    code = STATUS.get(type(outcome), grpc.StatusCode.INTERNAL)
    return pb.AppendResult(code=code.value[0], message=str(outcome), actual_version=actual or 0)


def page_message(aggregates: Sequence[tuple[str, int]]) -> pb.ReadPageRequest:
    """Which aggregates to read, each from which version."""
    return pb.ReadPageRequest(
        aggregates=[
            pb.AggregateFrom(aggregate_id=id_, from_version=max(version, 1))
            for id_, version in aggregates
        ]
    )


def head(message: pb.StreamHead) -> StreamHead:
    """Where a stream stands, as the server sent it."""
    return StreamHead(
        stream=message.stream,
        log_id=UUID(message.log_id),
        position=message.position,
        hash=message.hash,
    )


def head_message(head: StreamHead) -> pb.StreamHead:
    """Where a stream stands, as the server sends it."""
    return pb.StreamHead(
        stream=head.stream, log_id=str(head.log_id), position=head.position, hash=head.hash
    )
