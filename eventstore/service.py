"""The gRPC service of the log: each method is one call of the store, put into messages."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from django_grpc_framework.services import Service

from eventstore.client import wire
from eventstore.client.errors import EventStoreError, InvalidEvent, ResultTooLarge, Unavailable
from eventstore.client.events import DEFAULT_STREAM, Event
from eventstore.client.port import Append, Appended
from eventstore.client.validation import MAX_EVENTS_PER_BATCH, validate_aggregate_id
from eventstore.proto import eventstore_pb2 as pb
from eventstore.store import FOLLOW_POLL_SECONDS, SqlEventStore

MAX_EVENTS_PER_REPLY = 1_000
MAX_BYTES_PER_REPLY = 3 * 1024 * 1024
MAX_PAGE = 2_000
MAX_AGGREGATES_PER_CALL = 10_000


class EventStoreService(Service):
    """The calls of eventstore.proto; a new instance for every call.

    What is raised here becomes a status in `interceptors.Edge`.
    """

    # The framework takes only arguments that are attributes of the class already.
    store: SqlEventStore = NotImplemented
    draining: threading.Event = NotImplemented

    def CreateEvent(self, request: pb.CreateEventRequest, context: Any) -> pb.CreateEventResponse:
        appended = self.store.append([wire.new_event(request.event)])
        return pb.CreateEventResponse(
            is_success=True, version=appended.versions[0], position=appended.positions[0]
        )

    def AppendEvents(
        self, request: pb.AppendEventsRequest, context: Any
    ) -> pb.AppendEventsResponse:
        append = wire.append(request)
        appended = self.store.append(append.events, append.expected_version)
        return pb.AppendEventsResponse(versions=appended.versions, positions=appended.positions)

    def AppendBatch(self, request: pb.AppendBatchRequest, context: Any) -> pb.AppendBatchResponse:
        if not 1 <= sum(len(append.events) for append in request.appends) <= MAX_EVENTS_PER_BATCH:
            raise InvalidEvent(f"a batch has 1 to {MAX_EVENTS_PER_BATCH} events")
        outcomes: list[Appended | EventStoreError | None] = []
        appends: list[Append] = []
        for message in request.appends:
            try:
                appends.append(wire.append(message))
                outcomes.append(None)
            except InvalidEvent as refusal:
                outcomes.append(refusal)
        decided = iter(self.store.append_batch(appends))
        return pb.AppendBatchResponse(
            results=[wire.outcome_message(outcome or next(decided)) for outcome in outcomes]
        )

    def GetEvents(self, request: pb.GetEventsRequest, context: Any) -> pb.GetEventsResponse:
        return pb.GetEventsResponse(events=_bounded(self._selected(request)))

    def GetEventsStream(self, request: pb.GetEventsRequest, context: Any) -> Iterator[pb.Event]:
        return map(wire.event_message, self._selected(request))

    def GetManyEvents(self, request: pb.GetManyEventsRequest, context: Any) -> Iterator[pb.Event]:
        return map(wire.event_message, self.store.read_many(_aggregates(request.aggregates)))

    def ReadStream(self, request: pb.ReadStreamRequest, context: Any) -> Iterator[pb.Event]:
        position = _at_least_zero("from_position", request.from_position)
        limit = _at_least_zero("limit", request.limit) or None
        stream = request.stream or DEFAULT_STREAM
        if not request.follow:
            events = self.store.read_stream(position, stream=stream, limit=limit)
            return map(wire.event_message, events)
        return map(wire.event_message, islice(self._followed(stream, position, context), limit))

    def ReadPage(self, request: pb.ReadPageRequest, context: Any) -> pb.EventPage:
        if request.aggregates:
            events = self.store.read_many(_aggregates(request.aggregates))
        else:
            events = self.store.read_stream(
                _at_least_zero("from_position", request.from_position),
                stream=request.stream or DEFAULT_STREAM,
                limit=_at_least_zero("limit", request.limit) or None,
            )
        messages: list[pb.Event] = []
        size = 0
        for event in events:
            message = wire.event_message(event)
            size += message.ByteSize()
            if messages and (size > MAX_BYTES_PER_REPLY or len(messages) >= MAX_PAGE):
                return pb.EventPage(events=messages)
            messages.append(message)
        return pb.EventPage(events=messages, complete=True)

    def GetStreamHead(self, request: pb.GetStreamHeadRequest, context: Any) -> pb.StreamHead:
        return wire.head_message(self.store.head(request.stream or DEFAULT_STREAM))

    def _selected(self, request: pb.GetEventsRequest) -> Iterator[Event]:
        """The events that match all of the request that is given; without any, the log's first."""
        from_version = _at_least_zero("from_version", request.from_version)
        if request.aggregate_id:
            validate_aggregate_id(request.aggregate_id)
        if request.event_id:
            found = self.store.read_event(wire.parse_event_id(request.event_id))
            wanted = (
                found is not None
                and request.aggregate_id in ("", found.aggregate_id)
                and found.version >= from_version
            )
            return iter([found] if found is not None and wanted else [])
        if request.aggregate_id:
            return self.store.read_many([(request.aggregate_id, from_version)])
        return self.store.read_stream()

    def _followed(self, stream: str, position: int, context: Any) -> Iterator[Event]:
        """The stream's events without end, until the caller goes away or the server stops.

        The store's own `follow` would not notice either while there is nothing to send.
        """
        position = max(position, 1)
        while context.is_active():
            if self.draining.is_set():
                raise Unavailable("the event store is shutting down")
            commits = self.store.commits.count
            for event in self.store.read_stream(position, stream=stream):
                yield event
                position = event.position + 1
            self.store.commits.wait_beyond(commits, FOLLOW_POLL_SECONDS)


def _bounded(events: Iterable[Event]) -> list[pb.Event]:
    """The messages of one reply; raises ResultTooLarge where they don't fit into one."""
    messages: list[pb.Event] = []
    size = 0
    for event in events:
        message = wire.event_message(event)
        size += message.ByteSize()
        if len(messages) == MAX_EVENTS_PER_REPLY or size > MAX_BYTES_PER_REPLY:
            raise ResultTooLarge("more events than one reply may carry: call GetEventsStream")
        messages.append(message)
    return messages


def _aggregates(messages: Sequence[pb.AggregateFrom]) -> list[tuple[str, int]]:
    if len(messages) > MAX_AGGREGATES_PER_CALL:
        raise InvalidEvent(f"at most {MAX_AGGREGATES_PER_CALL} aggregates in a call")
    return [
        (one.aggregate_id, _at_least_zero("from_version", one.from_version)) for one in messages
    ]


def _at_least_zero(field: str, value: int) -> int:
    if value < 0:
        raise InvalidEvent(f"{field} is 0 or more")
    return value
