"""What the publisher makes of a stream that it finds, decided without a broker."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from eventstore.client import StreamHead
from eventstore.client.notice import source_of
from eventstore.publishing.agreement import (
    TAIL,
    Compare,
    Create,
    Found,
    Identity,
    Refill,
    Refuse,
    Resume,
    compare,
    enough,
    judge,
)

LOG_ID = uuid4()
LOG = {position: uuid4() for position in range(1, 11)}
HEAD = StreamHead(stream="ORDERS", log_id=LOG_ID, position=10, hash=b"")


def found(
    messages: int, first: int = 1, last: int | None = None, log_id: UUID | str = LOG_ID
) -> Found:
    return Found(str(log_id), messages, first, messages if last is None else last)


def ours(sequence: int, event_id: UUID | None = None) -> Identity:
    """A message that was published from this log."""
    id_ = event_id or LOG[sequence]
    return Identity(sequence, str(id_), source_of("ORDERS", LOG_ID), str(sequence))


def stray(sequence: int, event_id: str = "") -> Identity:
    return Identity(sequence, event_id, "", "")


def test_without_a_stream_one_is_created() -> None:
    assert judge(HEAD, None) == Create()


def test_an_empty_stream_is_filled_from_the_start() -> None:
    assert judge(HEAD, found(0, first=0)) == Resume(0)


@pytest.mark.parametrize("log_id", [uuid4(), ""])
def test_a_stream_of_another_log_is_refused(log_id: UUID | str) -> None:
    verdict = judge(HEAD, found(10, log_id=log_id))
    assert isinstance(verdict, Refuse)
    assert str(LOG_ID) in verdict.reason


def test_a_stream_with_a_hole_is_refilled_and_everybody_goes_back() -> None:
    verdict = judge(HEAD, found(9, last=10))
    assert isinstance(verdict, Refill)
    assert verdict.wrong_from == 1


def test_a_hole_says_nothing_against_what_was_trimmed_before_it() -> None:
    verdict = judge(HEAD, found(5, first=5, last=10), keep=6)
    assert isinstance(verdict, Refill)
    assert verdict.wrong_from == 5


@pytest.mark.parametrize("keep", [0, 4, 1_000])
def test_a_stream_that_was_purged_is_refilled(keep: int) -> None:
    verdict = judge(HEAD, found(0, first=11, last=10), keep)
    assert isinstance(verdict, Refill)
    assert verdict.wrong_from == 11


@pytest.mark.parametrize(("first", "keep"), [(7, 4), (6, 4), (1, 4), (1, 0), (1, 1_000)])
def test_a_stream_without_its_beginning_is_right_if_it_has_enough(first: int, keep: int) -> None:
    stream = found(11 - first, first=first, last=10)
    assert judge(HEAD, stream, keep) == Compare(first, 10)
    assert enough(HEAD, stream, keep) == Resume(10)


@pytest.mark.parametrize(("first", "keep"), [(8, 4), (2, 0), (2, 1_000)])
def test_a_stream_that_begins_too_late_is_refilled_and_nobody_goes_back(
    first: int, keep: int
) -> None:
    verdict = enough(HEAD, found(11 - first, first=first, last=10), keep)
    assert isinstance(verdict, Refill)
    assert verdict.wrong_from == 11


def test_a_stream_that_was_just_made_is_filled_from_its_first_on() -> None:
    assert judge(HEAD, found(0, first=7, last=6), keep=4) == Resume(6)


def test_the_last_messages_are_compared() -> None:
    assert judge(HEAD, found(10)) == Compare(1, 10)
    assert judge(HEAD, found(5_000)) == Compare(5_001 - TAIL, 5_000)


def test_a_stream_that_is_behind_is_continued() -> None:
    assert compare(HEAD, [ours(each) for each in range(1, 8)], LOG) == Resume(7)


@pytest.mark.parametrize("event_id", ["", "None", str(uuid4())])
@pytest.mark.parametrize("place", [11, 5], ids=["after the last", "in between"])
def test_a_foreign_message_has_the_stream_refilled(place: int, event_id: str) -> None:
    last = max(place, 10)
    tail: Sequence[Identity] = [
        stray(each, event_id) if each == place else ours(each) for each in range(1, last + 1)
    ]
    verdict = compare(HEAD, tail, LOG)
    assert isinstance(verdict, Refill)
    assert verdict.wrong_from == place


def test_foreign_messages_that_reach_further_back_than_the_tail_send_everybody_to_the_start() -> (
    None
):
    verdict = compare(HEAD, [stray(each) for each in range(8, 11)], LOG)
    assert isinstance(verdict, Refill)
    assert verdict.wrong_from == 1


def test_a_stream_with_events_that_the_log_lost_is_refused() -> None:
    verdict = compare(HEAD, [ours(10), ours(11, uuid4())], LOG)
    assert isinstance(verdict, Refuse)
    assert "restored" in verdict.reason


def test_a_log_that_was_restored_and_went_on_differently_is_refused() -> None:
    verdict = compare(HEAD, [ours(9), ours(10, uuid4())], LOG)
    assert isinstance(verdict, Refuse)
