"""What the pure checks of a log find, and that they find nothing in a log that is right."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from eventstore.client import Event, metadata_for
from eventstore.client.hashing import GENESIS
from eventstore.client.memory import InMemoryEventStore
from eventstore.integrity.checkpoints import (
    SignedCheckpoint,
    Unreadable,
    key_id_of,
    line_of,
    read_line,
    signed,
)
from eventstore.integrity.verification import (
    Around,
    ChainCheck,
    CheckpointCheck,
    Finding,
    Holder,
    Tip,
    causes_of,
    check_tip,
    hash_of,
)
from tests.contract.new_events import new_event

LOG_ID = UUID("11111111-2222-3333-4444-555555555555")
KEY = Ed25519PrivateKey.generate()
KEYS = {key_id_of(KEY.public_key()): KEY.public_key()}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def log() -> list[Event]:
    """Twelve events of three orders, each but the first caused by the one before it."""
    store = InMemoryEventStore()
    cause: Event | None = None
    for number in range(12):
        metadata = metadata_for(actor="tests", cause=cause)
        store.append([new_event(f"order-{number % 3}", metadata=metadata)])
        *_, cause = store.read_stream()
    return list(store.read_stream())


def around(log: Sequence[Event]) -> Around:
    """What a database that has these events answers."""
    holders: dict[tuple[str, int], list[Holder]] = {}
    for event in log:
        holder = Holder(event.stream, event.position, event.aggregate_type)
        holders.setdefault((event.aggregate_id, event.version), []).append(holder)
    return Around(holders, {event.event_id: event.position for event in log})


def checked(log: Sequence[Event], page: int = 5, check: ChainCheck | None = None) -> list[Finding]:
    check = check or ChainCheck()
    return [
        finding
        for start in range(0, len(log), page)
        for finding in check.check(log[start : start + page], around(log))
    ]


def rehashed(log: Sequence[Event]) -> list[Event]:
    """The log with every hash made anew, as somebody does who may write everything."""
    result: list[Event] = []
    for event in log:
        previous = result[-1].hash if result else GENESIS
        result.append(replace(event, hash=hash_of(event, previous)))
    return result


@pytest.mark.parametrize("page", [1, 5, 100])
def test_a_log_that_is_right_is_right(log, page) -> None:
    check = ChainCheck()
    assert checked(log, page, check) == []
    assert (check.events, check.expected) == (12, 13)


def test_a_check_may_begin_anywhere(log) -> None:
    check = ChainCheck(6, log[4].hash)
    assert list(check.check(log[5:], around(log))) == []


@pytest.mark.parametrize(
    "change",
    [
        {"data": '{"amount": "26.00"}'},
        {"metadata": "{}"},
        {"event_type": "order-paid"},
        {"event_id": UUID(int=7)},
        {"recorded_at": NOON},
        {"hash": bytes(32)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_edited_event_is_found_where_it_is(log, change) -> None:
    log[6] = replace(log[6], **change)
    positions = [finding.position for finding in checked(log)]
    assert positions[0] == 7
    # Whether the hash or the content was changed, one of the two does not fit the event after it.
    assert positions in ([7], [7, 8])


def test_an_edited_event_with_a_new_hash_shows_at_the_next_one(log) -> None:
    edited = replace(log[6], data="{}")
    log[6] = replace(edited, hash=hash_of(edited, log[5].hash))
    (finding,) = checked(log)
    assert finding.position == 8
    assert "or the one at 7 together with its hash" in finding.what


def test_deleted_events_are_named(log) -> None:
    findings = checked(log[:4] + log[5:8] + log[10:])
    told = {finding.position: finding.what for finding in findings if "missing" in finding.what}
    assert told == {5: "the event is missing", 9: "the events from 9 to 10 are missing"}
    assert all("hash" not in finding.what for finding in findings)


def test_an_event_that_was_put_in_between_is_found(log) -> None:
    stranger = replace(log[4], event_id=uuid4(), aggregate_id="order-9", version=1)
    later = [replace(event, position=event.position + 1) for event in log[5:]]
    positions = {f.position for f in checked([*log[:5], replace(stranger, position=6), *later])}
    assert min(positions) == 6


def test_a_second_event_at_a_position_is_found(log) -> None:
    twin = replace(log[4], event_id=uuid4(), aggregate_id="order-9", version=1)
    (finding,) = checked([*log[:5], twin, *log[5:]])
    assert finding == Finding(5, f"a second event at this position, {twin.event_id}")


def test_reordered_events_are_found(log) -> None:
    first, second = log[3], log[8]
    log[3], log[8] = replace(second, position=4), replace(first, position=9)
    found = {finding.position for finding in checked(log)}
    assert {4, 9} <= found


def test_reordered_events_of_an_order_are_found_though_all_is_hashed_anew(log) -> None:
    first, second = log[3], log[6]  # versions 2 and 3 of the same order
    log[3], log[6] = replace(second, position=4), replace(first, position=7)
    findings = {(f.position, f.what) for f in checked(rehashed(log))}
    assert (4, "version 3 of order-0 comes before version 2, which is at 7") in findings


def test_a_version_that_is_missing_or_there_twice_is_found(log) -> None:
    log[6] = replace(log[6], version=2)
    findings = {(f.position, f.what) for f in checked(rehashed(log))}
    assert (4, "version 2 of order-0 stands also at 7") in findings
    assert (10, "version 4 of order-0, but no version 3") in findings


def test_an_effect_before_its_cause_is_found_though_all_is_hashed_anew(log) -> None:
    log[2] = replace(log[2], metadata=metadata_for(actor="tests", cause=log[9]))
    (finding,) = checked(rehashed(log))
    assert finding == Finding(3, "the event comes before its cause, which is at 10")


@pytest.mark.parametrize("metadata", ["[", "[1]", '{"causation_id": 7}', "[" * 100_000])
def test_metadata_that_names_no_cause_is_none_of_our_business(log, metadata) -> None:
    log[2] = replace(log[2], metadata=metadata)
    assert checked(rehashed(log)) == []
    assert len(causes_of(log)) == 10


@pytest.mark.parametrize(
    ("tip", "last_hash", "position", "words"),
    [
        (Tip(LOG_ID, 12, b"h", 12), b"h", None, ""),
        (Tip(LOG_ID, 0, GENESIS, 0), GENESIS, None, ""),
        (Tip(None, 0, b"", 0), None, None, ""),
        (Tip(LOG_ID, 12, b"h", 9), None, 10, "the tail was cut off"),
        (Tip(LOG_ID, 12, b"h", 14), b"h", 13, "events up to 14 beyond the head"),
        (Tip(LOG_ID, 12, b"h", 12), b"x", 12, "the head's hash"),
        (Tip(None, 0, b"", 12), None, 0, "no head row"),
    ],
)
def test_head_and_end_have_to_agree(tip, last_hash, position, words) -> None:
    findings = list(check_tip(tip, last_hash))
    assert [finding.position for finding in findings] == ([] if position is None else [position])
    assert all(words in finding.what for finding in findings)


# -- Signed checkpoints


def checkpoint(position: int, hash_: bytes, **changes) -> SignedCheckpoint:
    fields = {"stream": "ORDERS", "log_id": LOG_ID, "signed_at": NOON, **changes}
    return signed(SignedCheckpoint(position=position, hash=hash_, **fields), KEY)


def told(tip: Tip, lines: Sequence, hashes: dict[int, bytes]) -> list[Finding]:
    recoveries = [line for line in lines if isinstance(line, SignedCheckpoint) and line.recovery]
    check = CheckpointCheck(tip, recoveries)
    return [finding for line in lines for finding in check.check(line, hashes)]


def numbered(*checkpoints: SignedCheckpoint) -> list[SignedCheckpoint]:
    return [replace(each, number=number) for number, each in enumerate(checkpoints, start=1)]


def test_a_signed_checkpoint_is_read_as_it_was_written() -> None:
    for each in (checkpoint(7, b"\x01" * 32), checkpoint(9, b"", recovery=True, kept=4)):
        assert read_line(line_of(each), 3, KEYS) == replace(each, number=3)


def test_a_log_that_is_what_was_signed_agrees() -> None:
    lines = numbered(checkpoint(3, b"c"), checkpoint(7, b"g"))
    assert told(Tip(LOG_ID, 9, b"i", 9), lines, {3: b"c", 7: b"g"}) == []


def test_a_rewritten_log_is_found_and_since_when() -> None:
    lines = numbered(checkpoint(3, b"c"), checkpoint(7, b"g"), checkpoint(9, b"i"))
    (finding,) = told(Tip(LOG_ID, 9, b"x", 9), lines, {3: b"c", 7: b"y", 9: b"x"})
    assert finding.position == 7
    assert "rewritten somewhere after 3 and up to here" in finding.what
    assert "2026-03-01 12:00:00 UTC" in finding.what


def test_a_cut_tail_is_found_once() -> None:
    lines = numbered(*(checkpoint(position, b"h") for position in (3, 7, 9)))
    (finding,) = told(Tip(LOG_ID, 5, b"h", 5), lines, {3: b"h"})
    assert finding.position == 6
    assert "had reached 7, it ends at 5 now: the tail was cut off" in finding.what


def test_another_log_is_found() -> None:
    other = uuid4()
    (finding,) = told(Tip(other, 9, b"h", 9), numbered(checkpoint(3, b"h")), {3: b"h"})
    assert finding.what.endswith(f"the log was {LOG_ID}, it is {other} now")
    (finding,) = told(Tip(None, 0, b"", 0), numbered(checkpoint(3, b"h")), {})
    assert finding.what.endswith("there is none now")


def test_a_signed_recovery_voids_what_was_given_up_and_nothing_else() -> None:
    after = uuid4()
    recovery = checkpoint(6, b"r", recovery=True, kept=5, log_id=after)
    lines = numbered(
        checkpoint(3, b"c"), checkpoint(9, b"i"), recovery, checkpoint(8, b"n", log_id=after)
    )
    tip = Tip(after, 8, b"n", 8)
    assert told(tip, lines, {3: b"c", 6: b"r", 8: b"n"}) == []
    (finding,) = told(tip, lines, {3: b"x", 6: b"r", 8: b"n"})
    assert finding.position == 3
    (finding,) = told(Tip(LOG_ID, 8, b"n", 8), lines, {3: b"c", 6: b"r", 8: b"n"})
    assert "the log was" in finding.what


def test_a_checkpoint_that_was_changed_is_found() -> None:
    text = line_of(checkpoint(7, b"\x01" * 32))
    line = read_line(text.replace(b'"position":7', b'"position":8'), 4, KEYS)
    assert line == Unreadable(4, "was changed: its signature is wrong")
    (finding,) = told(Tip(LOG_ID, 9, b"i", 9), [line], {})
    assert "line 4" in finding.what


def test_a_checkpoint_of_a_stranger_is_found_once() -> None:
    lines = [read_line(line_of(checkpoint(7, b"")), number, {}) for number in (1, 2)]
    (finding,) = told(Tip(LOG_ID, 9, b"i", 9), lines, {})
    assert "unknown key" in finding.what


@pytest.mark.parametrize("cut", [1, 20, 200], ids=str)
def test_a_line_that_is_cut_short_is_told_apart_from_one_that_was_changed(cut: int) -> None:
    text = line_of(checkpoint(7, b"\x01" * 32))
    for end in (b"", b"\n", b"\0" * 50):
        line = read_line(text[:cut] + end, 2, KEYS)
        assert isinstance(line, Unreadable)
        assert line.torn
        assert told(Tip(LOG_ID, 9, b"i", 9), [line], {}) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: b"{}",
        lambda text: b"\xff}",
        lambda text: b"[" * 3000 + b"]}",
        lambda text: text.replace(b'"position":7', b'"position":"7"'),
        lambda text: text.replace(b'"position":7', b'"position":-1'),
        lambda text: text.replace(b'"position":7', b'"position":true'),
        lambda text: text.replace(b'"stream":"ORDERS"', b'"stream":"../x"'),
        lambda text: text.replace(b'"stream":"ORDERS"', b'"stream":5'),
        lambda text: text.replace(b'"log_id":"1', b'"log_id":"z'),
        lambda text: text.replace(b'"signature":"', b'"signature":"z'),
    ],
)
def test_a_line_that_is_no_checkpoint_is_told(spoil: Callable[[bytes], bytes]) -> None:
    line = read_line(spoil(line_of(checkpoint(7, b"\x01" * 32)).strip()), 2, KEYS)
    assert line == Unreadable(2, "is no checkpoint")
