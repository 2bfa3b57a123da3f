"""What becomes of a batch of appends, without any store."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from eventstore.client.appending import AggregateTip, Plan, plan, same_content
from eventstore.client.errors import EventIdConflict, InvalidEvent, VersionConflict
from eventstore.client.events import Event, NewEvent, StreamHead
from eventstore.client.hashing import GENESIS
from eventstore.client.port import Append, Appended
from tests.contract.new_events import new_event, new_events

NOW = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
HEAD = StreamHead(stream="ORDERS", log_id=UUID(int=1), position=10, hash=b"\x07" * 32)


def stored(event: NewEvent, version: int = 1, position: int = 1) -> Event:
    fields = {**vars(event), "version": version, "position": position, "recorded_at": NOW}
    return Event(**fields, hash=GENESIS)


def planned(
    *appends: Append, known: tuple[Event, ...] = (), tips: dict[str, AggregateTip] | None = None
) -> Plan:
    by_id = {event.event_id: event for event in known}
    return plan(appends, stored=by_id, tips=tips or {}, head=HEAD, now=NOW)


def at(version: int, stream: str = "ORDERS", aggregate_type: str = "order") -> AggregateTip:
    return AggregateTip(stream, aggregate_type, version)


def test_events_go_on_from_the_head_and_the_aggregates_tip():
    result = planned(Append(events=new_events(2, "a")), tips={"a": at(4)})

    assert result.outcomes == [Appended(versions=(5, 6), positions=(11, 12))]
    assert [event.recorded_at for event in result.events] == [NOW, NOW]
    assert result.head.position == 12
    assert result.head.hash == result.events[-1].hash != result.events[0].hash
    assert result.head.log_id == HEAD.log_id


def test_a_refused_append_uses_no_position():
    result = planned(
        Append(events=[new_event("a")], expected_version=3),
        Append(events=[new_event("b")]),
    )

    assert isinstance(result.outcomes[0], VersionConflict)
    assert result.outcomes[0].actual_version == 0
    assert result.outcomes[1] == Appended(versions=(1,), positions=(11,))


def test_nothing_new_leaves_the_head_as_it_was():
    event = new_event("a")
    result = planned(Append(events=[event]), known=(stored(event, 3, 7),))

    assert result.outcomes == [Appended(versions=(3,), positions=(7,))]
    assert (result.events, result.head) == ([], HEAD)


def test_a_repeated_append_is_answered_before_its_expected_version_is_looked_at():
    event = new_event("a")
    append = Append(events=[event], expected_version=99)

    assert planned(append, known=(stored(event),)).outcomes == [
        Appended(versions=(1,), positions=(1,))
    ]


def test_an_append_sees_those_before_it_in_the_batch():
    event = new_event("a")
    result = planned(
        Append(events=[event], expected_version=0),
        Append(events=[event], expected_version=0),
        Append(events=[new_event("a")], expected_version=1),
        Append(events=[new_event("a", stream="ORDERS", aggregate_type="invoice")]),
    )

    assert result.outcomes[:3] == [
        Appended(versions=(1,), positions=(11,)),
        Appended(versions=(1,), positions=(11,)),
        Appended(versions=(2,), positions=(12,)),
    ]
    assert isinstance(result.outcomes[3], InvalidEvent)
    assert len(result.events) == 2


def test_a_partly_stored_append_is_a_conflict():
    old, new = new_events(2, "a")
    result = planned(Append(events=[old, new]), known=(stored(old),))

    assert isinstance(result.outcomes[0], EventIdConflict)
    assert result.events == []


@pytest.mark.parametrize("tip", [at(1, stream="OTHER"), at(1, aggregate_type="invoice")])
def test_an_aggregate_keeps_its_stream_and_type(tip):
    result = planned(Append(events=[new_event("a")]), tips={"a": tip})

    assert isinstance(result.outcomes[0], InvalidEvent)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"metadata": '{"other": 1}'}, True),
        ({"data": '{"amount":"25.00"}'}, False),
        ({"event_type": "order-approved"}, False),
        ({"aggregate_id": "b"}, False),
        ({"aggregate_type": "invoice"}, False),
        ({"stream": "OTHER"}, False),
    ],
)
def test_content_is_type_aggregate_stream_and_data(change, same):
    id_ = uuid4()

    assert same_content(new_event(event_id=id_, **change), stored(new_event(event_id=id_))) is same
