"""The event store over gRPC, as every context uses it."""

import random
import time
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import grpc

from eventstore.client import wire
from eventstore.client.batching import Batcher
from eventstore.client.channel import LazyChannel
from eventstore.client.errors import (
    EventStoreError,
    InvalidEvent,
    Overloaded,
    Unavailable,
    UnknownStream,
)
from eventstore.client.events import DEFAULT_STREAM, Event, NewEvent, StreamHead
from eventstore.client.port import Append, Appended
from eventstore.client.tls import Tls
from eventstore.client.validation import (
    MAX_EVENTS_PER_APPEND,
    MAX_EVENTS_PER_BATCH,
    is_stream_name,
    validate_aggregate_id,
    validate_batch,
)
from eventstore.proto import eventstore_pb2 as pb

# While the server restarts; longer than that, the caller is to know.
RETRY_SECONDS = 2.0
FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.3
AGGREGATES_PER_CALL = 200
WAITING_CALLS = 4
CROWD = 12
MAX_CALL_BYTES = wire.MAX_MESSAGE_BYTES - 64 * 1024


class RemoteEventStore:
    """An `EventStore` behind a gRPC address; safe to share between threads.

    What the server says with UNAVAILABLE is tried again for a moment: appends are idempotent by
    event id, so it does not matter whether the first try took effect.

    Args:
        address: host:port.
        timeout_seconds: of a call, its repetitions included; a stream has no end.
        tls: mutual TLS; without it the client speaks plain text.
    """

    def __init__(
        self, address: str, timeout_seconds: float = 5.0, *, tls: Tls | None = None
    ) -> None:
        self._timeout = timeout_seconds
        self._channel = LazyChannel(address, tls)
        # Appends that threads have in flight at the same time share a call. A second call under way
        # keeps the server busy, but two small ones cost more than one.
        self._appends = Batcher(
            self._append_together,
            batch_weight=MAX_CALL_BYTES,
            waiting_weight=WAITING_CALLS * MAX_CALL_BYTES,
            patience_seconds=timeout_seconds,
            crowd=CROWD,
        )

    @classmethod
    def from_settings(cls) -> "RemoteEventStore":
        """The event store of Django's settings (EVENTSTORE_ADDRESS); raises TlsMisconfigured."""
        from django.conf import settings

        return cls(
            settings.EVENTSTORE_ADDRESS,
            settings.EVENTSTORE_TIMEOUT_SECONDS,
            tls=Tls.from_settings(),
        )

    def close(self) -> None:
        """Close the connection; calls that run are cut off, a later one opens another."""
        self._channel.close()

    def append(self, events: Sequence[NewEvent], expected_version: int | None = None) -> Appended:
        """See `EventStore.append`."""
        request = _request(Append(events=events, expected_version=expected_version))
        outcome = self._appends.do(request, _weight(request))
        if isinstance(outcome, EventStoreError):
            raise outcome
        return outcome

    def _append_together(
        self, requests: Sequence[pb.AppendEventsRequest]
    ) -> list[Appended | EventStoreError]:
        if len(requests) == 1:
            response = self._call("AppendEvents", requests[0])
            return [
                Appended(versions=tuple(response.versions), positions=tuple(response.positions))
            ]
        response = self._call("AppendBatch", pb.AppendBatchRequest(appends=requests))
        return [wire.outcome(result) for result in response.results]

    def append_batch(self, appends: Sequence[Append]) -> list[Appended | EventStoreError]:
        """See `EventStore.append_batch`; as few calls as the size of messages allows."""
        validate_batch(appends)
        requests: list[pb.AppendEventsRequest] = []
        refusals: dict[int, InvalidEvent] = {}
        for place, append in enumerate(appends):
            try:
                requests.append(_request(append))
            except InvalidEvent as refusal:
                refusals[place] = refusal
        answers = (
            wire.outcome(result)
            for part in _parts(requests)
            for result in self._call("AppendBatch", pb.AppendBatchRequest(appends=part)).results
        )
        return [
            refusals[place] if place in refusals else next(answers) for place in range(len(appends))
        ]

    def read_aggregate(self, aggregate_id: str, from_version: int = 1) -> list[Event]:
        """See `EventStore.read_aggregate`."""
        validate_aggregate_id(aggregate_id)
        request = pb.GetEventsRequest(aggregate_id=aggregate_id, from_version=max(from_version, 1))
        try:
            return [wire.event(message) for message in self._call("GetEvents", request).events]
        except Overloaded:
            # The same status says that the history is too large for one reply.
            return list(self.read_many([(aggregate_id, from_version)]))

    def read_many(self, aggregates: Sequence[tuple[str, int]]) -> Iterator[Event]:
        """See `EventStore.read_many`; holds the events of some hundred aggregates at a time."""
        for aggregate_id, _ in aggregates:
            validate_aggregate_id(aggregate_id)
        return self._walk_aggregates(aggregates)

    def _walk_aggregates(self, aggregates: Sequence[tuple[str, int]]) -> Iterator[Event]:
        # Where a page ends is told by an aggregate's id, so in one call each may stand only once.
        once = len({aggregate_id for aggregate_id, _ in aggregates}) == len(aggregates)
        size = AGGREGATES_PER_CALL if once else 1
        for start in range(0, len(aggregates), size):
            wanted = list(aggregates[start : start + size])
            while wanted:
                page = self._call("ReadPage", wire.page_message(wanted))
                yield from map(wire.event, page.events)
                wanted = [] if page.complete else _left(wanted, page.events[-1])

    def read_event(self, event_id: UUID) -> Event | None:
        """See `EventStore.read_event`."""
        response = self._call("GetEvents", pb.GetEventsRequest(event_id=str(event_id)))
        return wire.event(response.events[0]) if response.events else None

    def read_stream(
        self,
        from_position: int = 1,
        *,
        stream: str = DEFAULT_STREAM,
        limit: int | None = None,
        follow: bool = False,
    ) -> Iterator[Event]:
        """See `EventStore.read_stream`; goes on by itself where a connection broke off."""
        self.head(stream)
        walk = self._follow_stream if follow else self._walk_stream
        return walk(stream, max(from_position, 1), limit)

    def _walk_stream(self, stream: str, position: int, limit: int | None) -> Iterator[Event]:
        end = None if limit is None else position + limit
        while end is None or position < end:
            request = pb.ReadPageRequest(
                stream=stream, from_position=position, limit=0 if end is None else end - position
            )
            page = self._call("ReadPage", request)
            yield from map(wire.event, page.events)
            if page.complete:
                return
            position = page.events[-1].position + 1

    def _follow_stream(self, stream: str, position: int, limit: int | None) -> Iterator[Event]:
        end = None if limit is None else position + limit
        patience = _Patience(RETRY_SECONDS)
        while end is None or position < end:
            wanted = 0 if end is None else end - position
            request = pb.ReadStreamRequest(
                stream=stream, from_position=position, limit=wanted, follow=True
            )
            begin = position
            try:
                for event in self._stream("ReadStream", request):
                    yield event
                    position = event.position + 1
            except Unavailable:
                if position > begin:
                    patience = _Patience(RETRY_SECONDS)
                if not patience.pause():
                    raise

    def head(self, stream: str = DEFAULT_STREAM) -> StreamHead:
        """See `EventStore.head`."""
        if not is_stream_name(stream):
            raise UnknownStream
        return wire.head(self._call("GetStreamHead", pb.GetStreamHeadRequest(stream=stream)))

    def _call(self, method: str, request: Any) -> Any:
        deadline = time.monotonic() + self._timeout
        patience = _Patience(min(RETRY_SECONDS, self._timeout))
        while True:
            try:
                left = max(deadline - time.monotonic(), 0.001)
                return self._channel.method(method)(request, timeout=left)
            except grpc.RpcError as error:
                retried = error.code() == grpc.StatusCode.UNAVAILABLE
                if not (retried and patience.pause()):
                    raise _failure(error) from error

    def _stream(self, method: str, request: Any) -> Iterator[Event]:
        call = self._channel.method(method)(request)
        try:
            for message in call:
                yield wire.event(message)
        except grpc.RpcError as error:
            raise _failure(error) from error
        finally:
            call.cancel()


class _Patience:
    """Pauses between tries, each longer than the last, until the time is up."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._longest = FIRST_PAUSE_SECONDS

    def pause(self) -> bool:
        """Sleep a little; False, at once, if there is no time left for another try."""
        seconds = random.uniform(0, self._longest)  # noqa: S311 - jitter, not a secret
        if time.monotonic() + seconds >= self._until:
            return False
        time.sleep(seconds)
        self._longest = min(2 * self._longest, LONGEST_PAUSE_SECONDS)
        return True


def _request(append: Append) -> pb.AppendEventsRequest:
    """The message of an append; raises InvalidEvent for what can't be put into one."""
    if not 1 <= len(append.events) <= MAX_EVENTS_PER_APPEND:
        raise InvalidEvent(f"an append has 1 to {MAX_EVENTS_PER_APPEND} events")
    try:
        message = wire.append_message(append)
    except ValueError:
        raise InvalidEvent("the append has a text or a number that no message can hold") from None
    if message.ByteSize() > MAX_CALL_BYTES:
        raise InvalidEvent(f"an append is larger than {MAX_CALL_BYTES // 1024} KiB")
    return message


def _left(wanted: Sequence[tuple[str, int]], last: pb.Event) -> list[tuple[str, int]]:
    """What is left of the (aggregate id, from version) that were asked for after this event."""
    place = [id_ for id_, _ in wanted].index(last.aggregate_id)
    return [(last.aggregate_id, last.version + 1), *wanted[place + 1 :]]


def _weight(request: pb.AppendEventsRequest) -> int:
    """Of an append in a call that is bounded both in bytes and in events."""
    # Its length and the field's number take up to eight bytes more.
    return max(
        request.ByteSize() + 8, len(request.events) * (MAX_CALL_BYTES // MAX_EVENTS_PER_BATCH + 1)
    )


def _parts(requests: Sequence[pb.AppendEventsRequest]) -> Iterator[list[pb.AppendEventsRequest]]:
    """The appends in as few lists as fit into one message each."""
    part: list[pb.AppendEventsRequest] = []
    size = 0
    for request in requests:
        needed = _weight(request)
        if part and size + needed > MAX_CALL_BYTES:
            yield part
            part, size = [], 0
        part.append(request)
        size += needed
    if part:
        yield part


def _failure(error: Any) -> EventStoreError:
    """The exception for what a call answered: told by its code, never by its text."""
    metadata = dict(error.trailing_metadata() or ())
    actual = metadata.get(wire.ACTUAL_VERSION)
    return wire.error_for(error.code(), error.details() or "", int(actual) if actual else None)
