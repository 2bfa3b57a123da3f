"""What the log takes and what it refuses, at the edges of its bounds."""

from uuid import UUID

import pytest

from eventstore.client.errors import InvalidEvent
from eventstore.client.port import Append
from eventstore.client.validation import (
    MAX_BYTES_PER_APPEND,
    MAX_DATA_BYTES,
    MAX_METADATA_BYTES,
    MAX_VERSION,
    append_bytes,
    is_stream_name,
    validate,
    validate_aggregate_id,
    validate_batch,
    validate_event,
)
from tests.contract.new_events import INVALID, new_event, new_events


@pytest.mark.parametrize("spoilt", INVALID.values(), ids=INVALID)
def test_a_malformed_event_is_refused(spoilt):
    with pytest.raises(InvalidEvent):
        validate_event(new_event(**spoilt))


@pytest.mark.parametrize(
    "fields",
    [
        {"event_id": UUID(int=1)},
        {"event_type": "ORDERS.created"},
        {"event_type": "a_b-C.9" + "x" * 121},
        {"aggregate_id": "x" * 255},
        {"aggregate_id": "it may have spaces, é and 🍕"},
        {"stream": "S" * 64},
        {"data": ""},
        {"data": "null"},
        {"data": '"' + "x" * (MAX_DATA_BYTES - 2) + '"'},
        {"data": '{"text":"\\u0000 \\ud83c\\udf55"}'},
        {"metadata": "{}"},
        {"metadata": '{"a":"' + "x" * (MAX_METADATA_BYTES - 8) + '"}'},
    ],
    ids=lambda fields: str(fields)[:40],
)
def test_what_is_just_within_the_bounds_is_taken(fields):
    validate_event(new_event(**fields))


def test_size_is_counted_in_bytes_of_utf8():
    with pytest.raises(InvalidEvent):
        validate_event(new_event(data='"' + "é" * (MAX_DATA_BYTES // 2) + '"'))


@pytest.mark.parametrize("expected", [None, 0, 1, MAX_VERSION])
def test_an_expected_version_within_64_bits_is_taken(expected):
    validate(Append(events=[new_event()], expected_version=expected))


@pytest.mark.parametrize("expected", [-1, MAX_VERSION + 1])
def test_an_expected_version_beyond_64_bits_is_refused(expected):
    with pytest.raises(InvalidEvent):
        validate(Append(events=[new_event()], expected_version=expected))


def test_an_append_has_1_to_1000_events():
    validate(Append(events=new_events(1000, "a")))
    for count in (0, 1001):
        with pytest.raises(InvalidEvent):
            validate(Append(events=new_events(count, "a")))


def test_an_append_fits_into_one_message():
    data = '"' + "x" * (MAX_DATA_BYTES - 2) + '"'
    append = Append(events=new_events(MAX_BYTES_PER_APPEND // MAX_DATA_BYTES, "a", data=data))

    assert append_bytes(append) > MAX_BYTES_PER_APPEND
    with pytest.raises(InvalidEvent):
        validate(append)
    validate(Append(events=append.events[1:]))


def test_a_batch_has_at_most_10000_events():
    validate_batch([Append(events=new_events(1000, "a"))] * 10)
    with pytest.raises(InvalidEvent):
        validate_batch([Append(events=new_events(1000, "a"))] * 10 + [Append(events=[new_event()])])


@pytest.mark.parametrize("name", ["ORDERS", "a", "A-b_9"])
def test_a_stream_name_is_a_word(name):
    assert is_stream_name(name)


@pytest.mark.parametrize("name", ["", "a.b", "a b", "a*", "a>", "é", "a\n", "x" * 65])
def test_what_nats_would_not_take_is_no_stream_name(name):
    assert not is_stream_name(name)


@pytest.mark.parametrize("text", ["\x00", "a\x1f", "a\x7f", "a\x85", "a\u2028", "a\ud800", ""])
def test_an_aggregate_id_has_no_control_characters(text):
    with pytest.raises(InvalidEvent):
        validate_aggregate_id(text)
