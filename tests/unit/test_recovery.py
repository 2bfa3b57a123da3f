"""What is to be recovered, decided from how far everybody is; and events read out of messages."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from eventstore.backup.recovery import (
    Ahead,
    Follower,
    Foreign,
    Nothing,
    Recovery,
    Unfinished,
    assess,
    batches,
)
from eventstore.backup.stream_copy import Extent
from eventstore.client import Event, StreamHead
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.notice import BadNotice, event_of, headers_of, subject_of
from tests.contract.new_events import new_event

LOG, NEWER, STRANGER = uuid4(), uuid4(), uuid4()
HEAD = StreamHead(stream="ORDERS", log_id=LOG, position=10, hash=b"h")
RECOVERY = Recovery(before=frozenset({NEWER}), log_id=LOG, kept=7)


def copy(log_id: UUID | str = LOG, last: int = 10, agreed: int = 10, ahead: bool = False) -> Extent:
    return Extent(str(log_id), last, agreed, ahead)


def at(position: int, log_id: UUID = LOG) -> Follower:
    return Follower("payments", log_id, position)


@pytest.mark.parametrize(
    ("extent", "followers"),
    [
        (None, []),
        (copy(), [at(10)]),
        (copy(last=4, agreed=4), [at(4)]),
        (copy(last=12, agreed=10), [at(10)]),  # two messages of strangers
        (copy(last=0, agreed=0), [at(0)]),
    ],
)
def test_nothing_is_to_be_recovered_where_nobody_is_ahead(extent, followers) -> None:
    assert assess(HEAD, [], extent, followers) == Nothing()


@pytest.mark.parametrize(
    ("extent", "followers", "before", "kept"),
    [
        (copy(last=15, ahead=True), [], {LOG}, 10),
        (copy(last=15, agreed=8, ahead=True), [at(14)], {LOG}, 8),
        (copy(last=9, agreed=6, ahead=True), [], {LOG}, 6),
        (None, [at(11)], {LOG}, 10),
        (copy(), [at(3), at(11)], {LOG}, 10),
        (copy(NEWER, last=15, agreed=9), [at(15, NEWER)], {LOG, NEWER}, 9),
        (copy(NEWER, last=5, agreed=5), [], {LOG, NEWER}, 10),
    ],
    ids=str,
)
def test_somebody_is_ahead(extent, followers, before, kept) -> None:
    assert assess(HEAD, [], extent, followers) == Ahead(frozenset(before), kept)


@pytest.mark.parametrize(
    ("extent", "followers"),
    [
        (copy(NEWER, last=15, agreed=7, ahead=True), [at(10)]),
        (None, [at(10), at(15, NEWER)]),
        (copy(), [at(15, NEWER)]),
    ],
    ids=str,
)
def test_a_recovery_that_the_log_tells_of_is_not_finished(extent, followers) -> None:
    assert assess(HEAD, [RECOVERY], extent, followers) == Unfinished(frozenset({NEWER}), 7)


def test_a_finished_recovery_is_nothing_to_recover() -> None:
    assert assess(HEAD, [RECOVERY], copy(), [at(10)]) == Nothing()


def test_a_log_that_lost_its_end_again_is_recovered_anew() -> None:
    found = assess(HEAD, [RECOVERY], copy(last=15, ahead=True), [at(15)])
    assert found == Ahead(frozenset({LOG}), 10)


@pytest.mark.parametrize(
    ("extent", "followers", "words"),
    [
        (copy(STRANGER, agreed=0), [], f"the NATS stream is of log {STRANGER}"),
        (copy("", agreed=0), [], "(none named)"),
        (copy("", agreed=9), [], "(none named)"),
        (copy(), [at(5, STRANGER)], f"payments has followed log {STRANGER}"),
    ],
    ids=str,
)
def test_what_belongs_to_another_log_is_left_alone(extent, followers, words) -> None:
    found = assess(HEAD, [], extent, followers)
    assert isinstance(found, Foreign)
    assert words in found.reason


def test_batches_hold_everything_in_order() -> None:
    assert list(batches(iter(range(7)), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batches(iter(()), 3)) == []


# -- Events out of messages


def logged(**changes: str) -> Event:
    store = InMemoryEventStore()
    store.append([new_event("Küche 7", **changes)])
    return next(store.read_stream())


def read(event: Event, data: bytes | None = None, **headers: str) -> Event:
    sent = {**headers_of(event, LOG), **{k.replace("_", "-"): v for k, v in headers.items()}}
    subject = subject_of(event.stream, event.event_type)
    return event_of("ORDERS", subject, sent, event.data.encode() if data is None else data, 1)


@pytest.mark.parametrize(
    "changes",
    [{}, {"metadata": '{ "ü":\n "\U0001f600" }'}, {"data": ""}, {"data": '{"a":  1.0}\n'}],
    ids=str,
)
def test_a_message_has_all_of_its_event(changes) -> None:
    event = logged(**changes)
    assert read(event) == replace(event, hash=b"")


@pytest.mark.parametrize(
    "spoilt",
    [
        {"ce_metadata": ""},
        {"ce_metadata": "***"},
        {"ce_metadata": "/w=="},
        {"ce_time": "yesterday"},
        {"ce_time": ""},
        {"ce_version": "0"},
    ],
    ids=str,
)
def test_a_message_that_has_less_is_refused(spoilt) -> None:
    with pytest.raises(BadNotice):
        read(logged(), **spoilt)
