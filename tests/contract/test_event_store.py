"""The contract of the event store: what holds in memory, on SQL at both levels, and over gRPC."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from uuid import UUID, uuid4

import pytest
from psycopg import IsolationLevel

from eventstore.client import (
    Append,
    Appended,
    EventIdConflict,
    EventStore,
    InvalidEvent,
    TooManyEvents,
    UnknownStream,
    VersionConflict,
)
from eventstore.client.events import Event
from eventstore.client.hashing import GENESIS, event_hash
from eventstore.client.validation import MAX_EVENTS_PER_APPEND, MAX_VERSION
from tests.contract import stores
from tests.contract.new_events import INVALID, new_event, new_events
from tests.together import eventually, together

IMPLEMENTATIONS = {
    "memory": stores.memory,
    "sql-read-committed": partial(stores.sql, IsolationLevel.READ_COMMITTED),
    "sql-serializable": partial(stores.sql, IsolationLevel.SERIALIZABLE),
    "grpc": stores.remote,
}
ON_DATABASE = pytest.mark.django_db(databases=["eventstore"], transaction=True)


@pytest.fixture(
    params=[
        pytest.param(name, marks=[] if name == "memory" else [ON_DATABASE])
        for name in IMPLEMENTATIONS
    ]
)
def store(request) -> Iterator[EventStore]:
    with IMPLEMENTATIONS[request.param]() as implementation:
        yield implementation


def hashed(previous: bytes, event: Event) -> bytes:
    fields = {name: value for name, value in vars(event).items() if name not in ("hash", "payload")}
    return event_hash(previous, **fields)


# -- Appending


def test_versions_and_positions_count_from_one(store):
    first = store.append([new_event("a")])
    both = store.append(new_events(2, "a"))
    other = store.append([new_event("b")])

    assert first == Appended(versions=(1,), positions=(1,))
    assert both == Appended(versions=(2, 3), positions=(2, 3))
    assert other == Appended(versions=(1,), positions=(4,))


def test_an_event_comes_back_as_it_was_given(store):
    before = datetime.now(UTC)
    given = new_event("order-é-1", event_type="ORDERS.created", metadata='{"actor":"tests"}')
    store.append([given])

    (event,) = store.read_aggregate("order-é-1")
    for name, value in vars(given).items():
        assert getattr(event, name) == value
    assert event.recorded_at.utcoffset() == timedelta(0)
    assert before <= event.recorded_at <= datetime.now(UTC)


@pytest.mark.parametrize(
    "text",
    [
        '{"b" : 1,\n\t"a":  2, "a": 3}',
        '{"text": "%s %% ? $1 \\u0000 \\\\ \' {} é \U0001f355"}',
        '{"amount": 1.10, "big": 12345678901234567890, "exp": 1e2}',
        '"no object"',
        "",
    ],
)
def test_data_comes_back_byte_for_byte(store, text):
    store.append([new_event("a", data=text)])

    assert store.read_aggregate("a")[0].data == text


def test_metadata_comes_back_byte_for_byte(store):
    text = '{ "z": 1,  "a": {"é": [true, null]} }'
    store.append([new_event("a", metadata=text)])

    assert store.read_aggregate("a")[0].metadata == text


def test_data_of_256_kib_is_taken(store):
    text = '"' + "x" * (256 * 1024 - 2) + '"'
    store.append([new_event("a", data=text)])

    assert store.read_aggregate("a")[0].data == text


def test_an_append_of_several_events_is_taken_whole_or_not_at_all(store):
    good, bad = new_event("a"), new_event("a", data="{")

    with pytest.raises(InvalidEvent):
        store.append([good, bad])
    assert store.read_aggregate("a") == []
    assert store.head().position == 0


# -- Expected versions


def test_an_expected_version_of_zero_means_that_there_is_no_event_yet(store):
    store.append([new_event("a")], expected_version=0)

    with pytest.raises(VersionConflict) as refusal:
        store.append([new_event("a")], expected_version=0)
    assert refusal.value.actual_version == 1


def test_an_append_at_the_right_version_is_taken(store):
    store.append(new_events(2, "a"))

    assert store.append([new_event("a")], expected_version=2).versions == (3,)


@pytest.mark.parametrize("expected", [1, 3, MAX_VERSION])
def test_an_append_at_another_version_changes_nothing(store, expected):
    store.append(new_events(2, "a"))

    with pytest.raises(VersionConflict) as refusal:
        store.append([new_event("a")], expected_version=expected)
    assert refusal.value.actual_version == 2
    assert store.head().position == 2


def test_a_new_aggregate_has_the_actual_version_zero(store):
    with pytest.raises(VersionConflict) as refusal:
        store.append([new_event("a")], expected_version=1)
    assert refusal.value.actual_version == 0


# -- The bound on an aggregate's events


def fill(store: EventStore, aggregate_id: str, count: int) -> None:
    while count:
        part = min(count, MAX_EVENTS_PER_APPEND)
        store.append(new_events(part, aggregate_id))
        count -= part


def test_what_would_make_an_aggregate_too_long_is_refused_whole(store):
    fill(store, "a", stores.MOST_EVENTS - 1)

    with pytest.raises(TooManyEvents):
        store.append(new_events(2, "a"))
    assert store.head().position == stores.MOST_EVENTS - 1
    assert store.append([new_event("a")]).versions == (stores.MOST_EVENTS,)
    with pytest.raises(TooManyEvents):
        store.append([new_event("a")], stores.MOST_EVENTS)


def test_a_full_aggregate_answers_repeated_and_conflicting_appends_as_any_other(store):
    first = store.append(begun := [new_event("a")])
    fill(store, "a", stores.MOST_EVENTS - 1)

    assert store.append(begun) == first
    with pytest.raises(VersionConflict):
        store.append([new_event("a")], stores.MOST_EVENTS - 1)


def test_a_full_aggregate_leaves_the_rest_of_a_batch_alone(store):
    fill(store, "a", stores.MOST_EVENTS)

    outcomes = store.append_batch([Append(events=[new_event(id_)]) for id_ in "bac"])
    assert [type(outcome) for outcome in outcomes] == [Appended, TooManyEvents, Appended]


# -- Idempotence


def test_a_repeated_append_answers_with_the_original_version_and_position(store):
    event = new_event("a")
    first = store.append([event])
    store.append([new_event("a")])

    assert store.append([event]) == first
    assert len(store.read_aggregate("a")) == 2
    assert store.head().position == 2


def test_a_repeated_append_is_recognised_whatever_version_it_expects(store):
    events = new_events(2, "a")
    first = store.append(events, expected_version=0)

    assert store.append(events, expected_version=0) == first
    assert store.append(events, expected_version=77) == first


def test_the_metadata_of_a_repeated_event_may_differ(store):
    event = new_event("a", metadata='{"traceparent":"1"}')
    first = store.append([event])

    assert store.append([replace(event, metadata='{"traceparent":"2"}')]) == first
    assert store.read_aggregate("a")[0].metadata == '{"traceparent":"1"}'


@pytest.mark.parametrize(
    "change",
    [
        {"data": '{"amount": "26.00"}'},
        {"data": '{"amount":"25.00"}'},
        {"event_type": "order-cancelled"},
        {"aggregate_id": "b"},
        {"aggregate_type": "invoice"},
    ],
)
def test_the_same_id_with_other_content_is_refused(store, change):
    event = new_event("a")
    store.append([event])

    with pytest.raises(EventIdConflict):
        store.append([replace(event, **change)])
    assert store.head().position == 1


def test_the_same_id_in_another_stream_is_refused(store):
    event = new_event("a")
    store.append([event])

    with pytest.raises(EventIdConflict):
        store.append([replace(event, stream="OTHER")])
    assert store.head("OTHER").position == 0


def test_an_append_that_is_stored_in_part_is_refused(store):
    old, new = new_events(2, "a")
    store.append([old])

    with pytest.raises(EventIdConflict):
        store.append([old, new])
    assert store.head().position == 1


# -- Streams


def test_an_aggregate_belongs_to_one_stream(store):
    store.append([new_event("a")])

    with pytest.raises(InvalidEvent):
        store.append([new_event("a", stream="OTHER")])


def test_an_aggregate_has_one_type(store):
    store.append([new_event("a")])

    with pytest.raises(InvalidEvent):
        store.append([new_event("a", aggregate_type="invoice")])


def test_each_stream_has_positions_and_a_log_id_of_its_own(store):
    store.append([new_event("a")])
    store.append([new_event("b", stream="OTHER")])

    assert store.read_aggregate("b")[0].position == 1
    assert [event.aggregate_id for event in store.read_stream(stream="OTHER")] == ["b"]
    assert store.head().log_id != store.head("OTHER").log_id


def test_an_empty_stream_has_an_empty_head(store):
    head = store.head("OTHER")

    assert (head.stream, head.position, head.hash) == ("OTHER", 0, GENESIS)
    assert list(store.read_stream(stream="OTHER")) == []


@pytest.mark.parametrize("name", ["NONE", "", "a b", "ORDERS\x00", "x" * 1000, "\ud800"])
def test_an_unknown_stream_is_said_to_be_unknown(store, name):
    with pytest.raises(UnknownStream):
        store.head(name)
    with pytest.raises(UnknownStream):
        list(store.read_stream(stream=name))


def test_nothing_is_appended_to_an_unknown_stream(store):
    with pytest.raises(UnknownStream):
        store.append([new_event("a", stream="NONE")])


# -- Bad input


@pytest.mark.parametrize("spoilt", INVALID.values(), ids=INVALID)
def test_a_malformed_event_is_refused(store, spoilt):
    with pytest.raises(InvalidEvent) as refusal:
        store.append([new_event(**spoilt)])
    assert len(str(refusal.value)) < 200
    assert store.head().position == 0


@pytest.mark.parametrize("expected", [-1, -2, -(2**63), 2**63, 2**70])
def test_an_impossible_expected_version_is_refused(store, expected):
    with pytest.raises(InvalidEvent):
        store.append([new_event()], expected_version=expected)


@pytest.mark.parametrize(
    "events",
    [
        [],
        [new_event("a"), new_event("b")],
        [new_event("a"), new_event("a", aggregate_type="invoice")],
        [new_event("a"), new_event("a", stream="OTHER")],
        [new_event("a")] * 2,
        new_events(1001, "a"),
        new_events(13, "a", data='"' + "x" * (256 * 1024 - 2) + '"'),
    ],
    ids=["none", "two ids", "two types", "two streams", "one id twice", "too many", "too large"],
)
def test_events_that_do_not_belong_in_one_append_are_refused(store, events):
    with pytest.raises(InvalidEvent):
        store.append(events)
    assert store.head().position == 0


def test_a_batch_of_more_than_10000_events_is_refused_whole(store):
    appends = [Append(events=new_events(1000, str(n))) for n in range(10)]

    with pytest.raises(InvalidEvent):
        store.append_batch([*appends, Append(events=[new_event("last")])])
    assert store.head().position == 0


@pytest.mark.parametrize("aggregate_id", ["", "a\x00", "a\ud800", "x" * 256])
def test_an_impossible_aggregate_id_is_refused_by_reads(store, aggregate_id):
    with pytest.raises(InvalidEvent):
        store.read_aggregate(aggregate_id)
    with pytest.raises(InvalidEvent):
        list(store.read_many([(aggregate_id, 1)]))


# -- Batches


def test_each_append_of_a_batch_has_an_outcome_of_its_own(store):
    store.append([taken := new_event("a")])
    good, last = new_event("b"), new_event("c")

    outcomes = store.append_batch(
        [
            Append(events=[good], expected_version=0),
            Append(events=[new_event("a")], expected_version=7),
            Append(events=[replace(taken, data="{}")]),
            Append(events=[new_event("d", data="{")]),
            Append(events=[]),
            Append(events=[new_event("e", stream="NONE")]),
            Append(events=[taken]),
            Append(events=[last]),
        ]
    )

    assert [type(outcome) for outcome in outcomes] == [
        Appended,
        VersionConflict,
        EventIdConflict,
        InvalidEvent,
        InvalidEvent,
        UnknownStream,
        Appended,
        Appended,
    ]
    assert outcomes[0] == Appended(versions=(1,), positions=(2,))
    assert outcomes[1].actual_version == 1
    assert outcomes[6] == Appended(versions=(1,), positions=(1,))
    assert outcomes[7] == Appended(versions=(1,), positions=(3,))
    assert store.head().position == 3


def test_an_append_of_a_batch_sees_those_before_it(store):
    first, second = new_event("a"), new_event("a")
    outcomes = store.append_batch(
        [
            Append(events=[first], expected_version=0),
            Append(events=[second], expected_version=1),
            Append(events=[first], expected_version=0),
            Append(events=[replace(second, data="{}")]),
            Append(events=[new_event("a")], expected_version=1),
        ]
    )

    assert outcomes[:3] == [
        Appended(versions=(1,), positions=(1,)),
        Appended(versions=(2,), positions=(2,)),
        Appended(versions=(1,), positions=(1,)),
    ]
    assert [type(outcome) for outcome in outcomes[3:]] == [EventIdConflict, VersionConflict]


def test_a_batch_may_touch_several_streams(store):
    outcomes = store.append_batch(
        [
            Append(events=[new_event("a")]),
            Append(events=[new_event("b", stream="OTHER")]),
            Append(events=[new_event("a")]),
        ]
    )

    assert [outcome.positions for outcome in outcomes] == [(1,), (1,), (2,)]


def test_an_empty_batch_has_no_outcomes(store):
    assert store.append_batch([]) == []


def test_a_large_batch_is_taken(store):
    data = '"' + "x" * 20_000 + '"'
    appends = [Append(events=[new_event(str(n), data=data)]) for n in range(300)]

    outcomes = store.append_batch(appends)

    assert [outcome.positions for outcome in outcomes] == [(n + 1,) for n in range(300)]
    assert sum(len(event.data) for event in store.read_stream()) == 300 * len(data)


# -- Reading


def test_an_aggregate_is_read_from_a_version_on(store):
    store.append(new_events(3, "a"))

    assert [event.version for event in store.read_aggregate("a", 2)] == [2, 3]
    assert [event.version for event in store.read_aggregate("a", 0)] == [1, 2, 3]
    assert store.read_aggregate("a", 4) == []
    assert store.read_aggregate("never") == []


def test_a_long_history_is_read_whole(store):
    fill(store, "a", 2_100)

    assert [event.version for event in store.read_aggregate("a")] == list(range(1, 2101))


def test_many_aggregates_are_read_in_the_order_asked(store):
    for _ in range(3):
        store.append([new_event("a")])
        store.append([new_event("b")])

    events = store.read_many([("b", 2), ("never", 1), ("a", 1), ("b", 3)])

    assert [(event.aggregate_id, event.version) for event in events] == [
        ("b", 2),
        ("b", 3),
        ("a", 1),
        ("a", 2),
        ("a", 3),
        ("b", 3),
    ]


def test_more_aggregates_than_fit_into_a_page_are_read_whole(store):
    ids = [f"a{n}" for n in range(450)]
    store.append_batch([Append(events=new_events(3, id_)) for id_ in ids])

    events = store.read_many([(id_, 2) for id_ in reversed(ids)])

    assert [(event.aggregate_id, event.version) for event in events] == [
        (id_, version) for id_ in reversed(ids) for version in (2, 3)
    ]
    assert list(store.read_many([])) == []


def test_an_event_is_found_by_its_id(store):
    event = new_event("a")
    store.append([event])

    assert store.read_event(event.event_id).aggregate_id == "a"
    assert store.read_event(uuid4()) is None


def test_a_stream_is_read_by_position(store):
    for n in range(5):
        store.append([new_event(str(n % 2))])

    assert [event.position for event in store.read_stream()] == [1, 2, 3, 4, 5]
    assert [event.position for event in store.read_stream(3)] == [3, 4, 5]
    assert [event.position for event in store.read_stream(-3, limit=2)] == [1, 2]
    assert [event.position for event in store.read_stream(4, limit=10)] == [4, 5]
    assert list(store.read_stream(6)) == []
    assert list(store.read_stream(limit=0)) == []


def test_a_stream_longer_than_a_page_is_read_whole(store):
    for n in range(3):
        store.append(new_events(700, str(n)))

    assert [event.position for event in store.read_stream()] == list(range(1, 2101))
    assert [event.position for event in store.read_stream(60, limit=600)] == list(range(60, 660))


def test_a_follower_sees_what_was_there_and_what_comes(store):
    store.append([new_event("a")])
    followed = store.read_stream(follow=True)
    assert next(followed).position == 1

    appender = threading.Timer(0.1, together, [[lambda: store.append(new_events(2, "a"))]])
    appender.start()

    assert [next(followed).position, next(followed).position] == [2, 3]
    followed.close()
    appender.join()


def test_a_follower_stops_at_its_limit(store):
    store.append(new_events(2, "a"))

    assert len(list(store.read_stream(follow=True, limit=2))) == 2


# -- The hash chain


def test_every_hash_covers_the_event_and_the_hash_before_it(store):
    for n in range(3):
        store.append(new_events(2, f"a{n}"))
    events = list(store.read_stream())

    previous = GENESIS
    for event in events:
        assert event.hash == hashed(previous, event)
        previous = event.hash
    assert store.head().hash == previous
    assert store.head().position == len(events)


def test_a_repetition_leaves_the_head_alone(store):
    event = new_event("a")
    store.append([event])
    head = store.head()
    store.append([event])

    assert store.head() == head


# -- Many at once

WRITERS, APPENDS = 8, 20


def assert_gapless(store: EventStore, count: int) -> None:
    """Positions, versions, ids and hashes are those of one unbroken log (I7, I8)."""
    events = list(store.read_stream())
    assert [event.position for event in events] == list(range(1, count + 1))
    assert len({event.event_id for event in events}) == count
    versions: Counter[str] = Counter()
    previous = GENESIS
    for event in events:
        versions[event.aggregate_id] += 1
        assert event.version == versions[event.aggregate_id]
        assert event.hash == hashed(previous, event)
        previous = event.hash


@pytest.mark.parametrize("aggregates", [1, WRITERS], ids=["one aggregate", "one aggregate each"])
def test_writers_at_once_leave_no_gap_and_a_reader_misses_nothing(store, aggregates):
    total = WRITERS * APPENDS

    def write(writer: int) -> list[int]:
        appended = [store.append([new_event(f"a{writer % aggregates}")]) for _ in range(APPENDS)]
        return [position for one in appended for position in one.positions]

    def tail() -> list[int]:
        return [event.position for event in islice(store.read_stream(follow=True), total)]

    *written, seen = together([*[partial(write, n) for n in range(WRITERS)], tail])

    assert sorted(position for positions in written for position in positions) == seen
    assert all(positions == sorted(positions) for positions in written)
    assert_gapless(store, total)


def test_writers_that_expect_a_version_win_it_once_each(store):
    def write() -> None:
        done = 0
        while done < 5:
            version = len(store.read_aggregate("a"))
            with contextlib.suppress(VersionConflict):
                store.append([new_event("a")], expected_version=version)
                done += 1

    together([write] * 4)

    assert_gapless(store, 20)


def test_the_same_append_many_times_at_once_is_stored_once(store):
    events = new_events(2, "a")

    answers = together([lambda: store.append(events, expected_version=0)] * WRITERS)

    assert answers == [Appended(versions=(1, 2), positions=(1, 2))] * WRITERS
    assert_gapless(store, 2)


def test_two_streams_that_race_for_an_aggregate_do_not_both_get_it(store):
    def attempt(stream: str) -> type:
        try:
            return type(store.append([new_event("a", stream=stream)]))
        except InvalidEvent:
            return InvalidEvent

    for _ in range(5):
        outcomes = together([partial(attempt, "ORDERS"), partial(attempt, "OTHER")])
        assert outcomes.count(Appended) >= 1

    assert len({event.stream for event in store.read_aggregate("a")}) == 1


def test_two_streams_that_race_for_an_event_id_do_not_both_get_it(store):
    for _ in range(5):
        id_ = uuid4()

        def attempt(stream: str, id_: UUID = id_) -> type:
            event = new_event(f"{stream}-{id_}", stream=stream, event_id=id_)
            try:
                return type(store.append([event]))
            except EventIdConflict:
                return EventIdConflict

        outcomes = together([partial(attempt, "ORDERS"), partial(attempt, "OTHER")])
        assert Counter(outcomes) == {Appended: 1, EventIdConflict: 1}


def test_followers_of_one_store_each_see_everything(store):
    def follow() -> list[int]:
        return [event.position for event in islice(store.read_stream(follow=True), 20)]

    def write() -> list[int]:
        return [store.append([new_event("a")]).positions[0] for _ in range(20)]

    assert together([follow, follow, write]) == [list(range(1, 21))] * 3
    assert eventually(lambda: store.head().position == 20)
