"""The gRPC service as its clients see it: answers, statuses, and bad input of every kind."""

import contextlib
import os
import random
from collections.abc import Iterator
from uuid import uuid4

import grpc
import pytest

from eventstore.client import NewEvent, wire
from eventstore.proto import eventstore_pb2 as pb
from eventstore.proto.eventstore_pb2_grpc import EventStoreStub
from eventstore.server import SERVICE
from eventstore.service import MAX_EVENTS_PER_REPLY
from eventstore.store import SqlEventStore
from tests.contract import stores
from tests.contract.new_events import INVALID, new_event, new_events

pytestmark = pytest.mark.django_db(databases=["eventstore"], transaction=True)
Code = grpc.StatusCode
UNARY = ["CreateEvent", "GetEvents", "AppendEvents", "AppendBatch", "GetStreamHead"]
STREAMING = ["GetEventsStream", "GetManyEvents", "ReadStream"]
NEVER = {Code.UNKNOWN, Code.INTERNAL}
TIMEOUT = 20


@pytest.fixture
def store() -> Iterator[SqlEventStore]:
    with stores.sql() as store:
        yield store


@pytest.fixture
def channel(store) -> Iterator[grpc.Channel]:
    with stores.serving(store, threads=8) as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield channel


@pytest.fixture
def stub(channel) -> EventStoreStub:
    return EventStoreStub(channel)


def event_message(aggregate_id: str = "a", **changes: object) -> pb.Event:
    return pb.Event(
        **{
            "event_id": str(uuid4()),
            "event_type": "order-created",
            "aggregate_id": aggregate_id,
            "aggregate_type": "order",
            "event_data": "{}",
            **changes,
        }
    )


def create(stub: EventStoreStub, **changes: object) -> pb.CreateEventResponse:
    return stub.CreateEvent(pb.CreateEventRequest(event=event_message(**changes)))


def refusal(call: object, request: object) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        answer = call(request, timeout=TIMEOUT)
        list(answer) if hasattr(answer, "__iter__") else None
    return caught.value


def raw_answer(channel: grpc.Channel, method: str, body: bytes) -> Code:
    """The status of a call whose request is these bytes."""
    kind = channel.unary_stream if method in STREAMING else channel.unary_unary
    call = kind(f"/{SERVICE}/{method}", lambda raw: raw, lambda raw: raw)
    answer = (
        call(body, timeout=TIMEOUT) if method in STREAMING else call.future(body, timeout=TIMEOUT)
    )
    with contextlib.suppress(grpc.RpcError):
        list(answer) if method in STREAMING else answer.result()
    assert "Traceback" not in answer.details()
    assert "Error(" not in answer.details()
    return answer.code()


# -- What is answered


def test_an_event_is_created_and_got_back(stub):
    event = event_message(event_data='{"a":  1}', metadata='{"actor": "tests"}')
    created = stub.CreateEvent(pb.CreateEventRequest(event=event))
    (got,) = stub.GetEvents(pb.GetEventsRequest(aggregate_id="a")).events

    assert (created.is_success, created.error) == (True, "")
    assert (created.version, created.position) == (1, 1)
    assert (got.event_data, got.metadata) == (event.event_data, event.metadata)
    assert (got.version, got.position, got.stream) == (1, 1, "ORDERS")
    assert got.recorded_at.endswith("Z")
    assert len(got.recorded_at) == len("2025-01-01T00:00:00.000000Z")
    assert len(got.hash) == 32


def test_an_event_id_in_capitals_comes_back_canonical(stub):
    id_ = str(uuid4())
    create(stub, event_id=id_.upper())

    (got,) = stub.GetEvents(pb.GetEventsRequest(event_id=id_.upper())).events
    assert got.event_id == id_


def test_a_repeated_create_answers_with_the_first_position(stub):
    event = event_message()
    first = stub.CreateEvent(pb.CreateEventRequest(event=event))
    create(stub)

    assert stub.CreateEvent(pb.CreateEventRequest(event=event)) == first


def test_events_are_selected_by_what_is_given(stub):
    first, second = event_message("a"), event_message("a")
    for event in (first, second, event_message("b")):
        stub.CreateEvent(pb.CreateEventRequest(event=event))

    def positions(**request: object) -> list[int]:
        unary = stub.GetEvents(pb.GetEventsRequest(**request)).events
        streamed = list(stub.GetEventsStream(pb.GetEventsRequest(**request)))
        assert list(unary) == streamed
        return [event.position for event in streamed]

    assert positions(aggregate_id="a") == [1, 2]
    assert positions(aggregate_id="a", from_version=2) == [2]
    assert positions(event_id=second.event_id) == [2]
    assert positions(event_id=second.event_id, aggregate_id="a") == [2]
    assert positions(event_id=second.event_id, aggregate_id="b") == []
    assert positions(event_id=str(uuid4())) == []
    assert positions() == [1, 2, 3]


@pytest.mark.parametrize(
    ("count", "size"), [(MAX_EVENTS_PER_REPLY + 1, 10), (16, 200_000)], ids=["many", "large"]
)
def test_what_one_reply_cannot_carry_is_streamed_only(stub, store, count, size):
    data = '"' + "x" * size + '"'
    for _ in range(count // 8 + 1):
        store.append(new_events(min(8, count), "a", data=data))
    for request in (pb.GetEventsRequest(aggregate_id="a"), pb.GetEventsRequest()):
        error = refusal(stub.GetEvents, request)
        assert error.code() == Code.RESOURCE_EXHAUSTED
        assert "GetEventsStream" in error.details()
        assert len(list(stub.GetEventsStream(request))) >= count


def test_as_many_events_as_one_reply_may_carry_are_answered(stub, store):
    store.append(new_events(MAX_EVENTS_PER_REPLY, "a"))

    assert len(stub.GetEvents(pb.GetEventsRequest(aggregate_id="a")).events) == MAX_EVENTS_PER_REPLY


def test_a_stream_is_read_with_a_limit_and_followed(stub, store):
    store.append(new_events(3, "a"))

    limited = stub.ReadStream(pb.ReadStreamRequest(from_position=2, limit=1))
    followed = stub.ReadStream(pb.ReadStreamRequest(from_position=3, limit=2, follow=True))
    assert [event.position for event in limited] == [2]
    assert next(followed).position == 3
    store.append([new_event("b")])
    assert [event.position for event in followed] == [4]


def test_a_version_conflict_names_the_actual_version(stub):
    create(stub)
    request = pb.AppendEventsRequest(events=[event_message()], expected_version=0)

    error = refusal(stub.AppendEvents, request)
    assert error.code() == Code.ABORTED
    assert dict(error.trailing_metadata())["actual-version"] == "1"


def test_each_result_of_a_batch_has_a_status_of_its_own(stub):
    taken = event_message("a")
    create(stub, event_id=taken.event_id)
    appends = [
        pb.AppendEventsRequest(events=[event_message("b")], expected_version=0),
        pb.AppendEventsRequest(events=[event_message("a")], expected_version=0),
        pb.AppendEventsRequest(events=[event_message("a", event_id="no uuid")]),
        pb.AppendEventsRequest(events=[event_message("a", stream="NONE")]),
        pb.AppendEventsRequest(events=[event_message("b", event_id=taken.event_id)]),
        pb.AppendEventsRequest(events=[taken]),
    ]

    results = stub.AppendBatch(pb.AppendBatchRequest(appends=appends)).results

    assert [result.code for result in results] == [
        code.value[0]
        for code in (
            Code.OK,
            Code.ABORTED,
            Code.INVALID_ARGUMENT,
            Code.NOT_FOUND,
            Code.ALREADY_EXISTS,
            Code.OK,
        )
    ]
    assert results[1].actual_version == 1
    assert list(results[0].positions) == [2]
    assert list(results[5].positions) == [1]


# -- Bad input


@pytest.mark.parametrize(
    "event_id",
    [
        "",
        "1",
        "no uuid",
        "{c56a4180-65aa-42ec-a945-5fd21dec0538}",
        "urn:uuid:c56a4180-65aa-42ec-a945-5fd21dec0538",
        "c56a418065aa42eca9455fd21dec0538",
        "00000000-0000-0000-0000-000000000000",
        " c56a4180-65aa-42ec-a945-5fd21dec0538",
        "c56a4180-65aa-42ec-a945-5fd21dec0538\n",
        "\x00" * 36,
        "٣" * 36,
        "x" * 4096,
    ],
)
def test_an_event_id_that_is_no_hyphenated_uuid_is_refused(stub, event_id):
    create_request = pb.CreateEventRequest(event=event_message(event_id=event_id))
    assert refusal(stub.CreateEvent, create_request).code() == Code.INVALID_ARGUMENT
    if event_id:
        request = pb.GetEventsRequest(event_id=event_id)
        assert refusal(stub.GetEvents, request).code() == Code.INVALID_ARGUMENT
        assert refusal(stub.GetEventsStream, request).code() == Code.INVALID_ARGUMENT


def as_message(event: NewEvent) -> pb.Event | None:
    try:
        return wire.new_event_message(event)
    except UnicodeEncodeError:
        return None  # no message can hold it


@pytest.mark.parametrize("spoilt", INVALID.values(), ids=INVALID)
def test_a_malformed_event_is_refused_by_every_call(stub, store, spoilt):
    if (message := as_message(new_event(**spoilt))) is None:
        return
    append = pb.AppendEventsRequest(events=[message])
    batch = stub.AppendBatch(pb.AppendBatchRequest(appends=[append]))

    create_request = pb.CreateEventRequest(event=message)
    assert refusal(stub.CreateEvent, create_request).code() == Code.INVALID_ARGUMENT
    assert refusal(stub.AppendEvents, append).code() == Code.INVALID_ARGUMENT
    assert batch.results[0].code == Code.INVALID_ARGUMENT.value[0]
    assert store.head().position == 0


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("CreateEvent", pb.CreateEventRequest(), Code.INVALID_ARGUMENT),
        ("AppendEvents", pb.AppendEventsRequest(), Code.INVALID_ARGUMENT),
        (
            "AppendEvents",
            pb.AppendEventsRequest(events=[event_message()], expected_version=-2),
            Code.INVALID_ARGUMENT,
        ),
        (
            "AppendEvents",
            pb.AppendEventsRequest(events=[event_message()], expected_version=2**63 - 1),
            Code.ABORTED,
        ),
        ("AppendBatch", pb.AppendBatchRequest(), Code.INVALID_ARGUMENT),
        (
            "AppendBatch",
            pb.AppendBatchRequest(appends=[pb.AppendEventsRequest()] * 3),
            Code.INVALID_ARGUMENT,
        ),
        (
            "AppendBatch",
            pb.AppendBatchRequest(
                appends=[pb.AppendEventsRequest(events=[event_message()])] * 10_001
            ),
            Code.INVALID_ARGUMENT,
        ),
        ("GetEvents", pb.GetEventsRequest(from_version=-1), Code.INVALID_ARGUMENT),
        ("GetEvents", pb.GetEventsRequest(aggregate_id="a\x00"), Code.INVALID_ARGUMENT),
        ("GetEvents", pb.GetEventsRequest(aggregate_id="x" * 4096), Code.INVALID_ARGUMENT),
        (
            "GetManyEvents",
            pb.GetManyEventsRequest(aggregates=[pb.AggregateFrom()]),
            Code.INVALID_ARGUMENT,
        ),
        (
            "GetManyEvents",
            pb.GetManyEventsRequest(aggregates=[pb.AggregateFrom(aggregate_id="a")] * 10_001),
            Code.INVALID_ARGUMENT,
        ),
        (
            "GetManyEvents",
            pb.GetManyEventsRequest(
                aggregates=[pb.AggregateFrom(aggregate_id="a", from_version=-1)]
            ),
            Code.INVALID_ARGUMENT,
        ),
        ("ReadStream", pb.ReadStreamRequest(limit=-1), Code.INVALID_ARGUMENT),
        ("ReadStream", pb.ReadStreamRequest(from_position=-1), Code.INVALID_ARGUMENT),
        ("ReadStream", pb.ReadStreamRequest(stream="NONE"), Code.NOT_FOUND),
        ("ReadStream", pb.ReadStreamRequest(stream="NONE", follow=True), Code.NOT_FOUND),
        ("ReadStream", pb.ReadStreamRequest(stream="\x00"), Code.NOT_FOUND),
        ("GetStreamHead", pb.GetStreamHeadRequest(stream="NONE"), Code.NOT_FOUND),
        ("GetStreamHead", pb.GetStreamHeadRequest(stream="x" * 4096), Code.NOT_FOUND),
    ],
)
def test_a_request_beyond_its_bounds_is_refused(stub, store, method, request_, code):
    assert refusal(getattr(stub, method), request_).code() == code
    assert store.head().position == 0


@pytest.mark.parametrize("method", UNARY + STREAMING)
def test_no_bytes_make_the_service_fail(channel, store, method):
    chance = random.Random(method)
    whole = pb.CreateEventRequest(event=event_message()).SerializeToString()
    bodies = [b"", b"\x00", b"\xff" * 20, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\xc3\x28"]
    bodies += [whole[:-3], whole[3:], whole + b"\x0a"]
    bodies += [chance.randbytes(chance.randint(1, 60)) for _ in range(30)]

    assert {raw_answer(channel, method, body) for body in bodies}.isdisjoint(NEVER)


@pytest.mark.parametrize("method", UNARY + STREAMING)
def test_bytes_that_are_no_message_are_refused(channel, method):
    assert raw_answer(channel, method, b"\xff" * 20) == Code.INVALID_ARGUMENT


def test_unknown_fields_are_accepted(channel, store):
    known = pb.CreateEventRequest(event=event_message()).SerializeToString()
    unknown = b"\xfa\x01\x03abc"  # field 31, three bytes

    assert raw_answer(channel, "CreateEvent", known + unknown) == Code.OK
    assert store.head().position == 1


def test_a_message_larger_than_4_mib_is_refused(stub, store):
    events = [event_message(event_data='"' + "x" * 250_000 + '"') for _ in range(17)]

    error = refusal(stub.AppendEvents, pb.AppendEventsRequest(events=events))
    assert error.code() == Code.RESOURCE_EXHAUSTED
    assert store.head().position == 0


def test_an_unknown_method_is_unimplemented(channel):
    assert raw_answer(channel, "DropEverything", b"") == Code.UNIMPLEMENTED


def test_a_fault_of_ours_shows_nothing_of_itself(caplog):
    secret = os.urandom(8).hex()

    class Broken(SqlEventStore):
        def head(self, stream: str = "ORDERS"):
            raise RuntimeError(secret)

        def read_stream(self, *args: object, **options: object):
            yield from ()
            raise RuntimeError(secret)

    with stores.serving(Broken()) as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = EventStoreStub(channel)
            for error in (
                refusal(stub.GetStreamHead, pb.GetStreamHeadRequest()),
                refusal(stub.ReadStream, pb.ReadStreamRequest()),
            ):
                assert error.code() == Code.INTERNAL
                assert secret not in str(error)
    assert caplog.text.count(f"RuntimeError: {secret}") == 2
