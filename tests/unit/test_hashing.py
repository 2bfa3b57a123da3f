"""The hash chain: its layout, written down once more without the code, and what it covers."""

import struct
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from uuid import UUID

import pytest

from eventstore.client.hashing import GENESIS, event_hash, microseconds

EVENT = {
    "stream": "ORDERS",
    "position": 7,
    "event_id": UUID("c56a4180-65aa-42ec-a945-5fd21dec0538"),
    "event_type": "order-created",
    "aggregate_type": "order",
    "aggregate_id": "ordre-é",
    "version": 3,
    "data": '{"a": 1}',
    "metadata": "{}",
    "recorded_at": datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
}


def test_the_layout_is_the_documented_one():
    def text(value: str) -> bytes:
        return struct.pack(">I", len(value.encode())) + value.encode()

    layout = (
        GENESIS
        + text("ORDERS")
        + text("order-created")
        + text("order")
        + text("ordre-é")
        + text('{"a": 1}')
        + text("{}")
        + bytes.fromhex("c56a418065aa42eca9455fd21dec0538")
        + struct.pack(">qqq", 7, 3, 1735787045678901)
    )

    assert event_hash(GENESIS, **EVENT) == sha256(layout).digest()


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("stream", "OTHER"),
        ("position", 8),
        ("event_id", UUID(int=5)),
        ("event_type", "order-approved"),
        ("aggregate_type", "invoice"),
        ("aggregate_id", "ordre-e"),
        ("version", 4),
        ("data", '{"a":1}'),
        ("metadata", '{"a":1}'),
        ("recorded_at", EVENT["recorded_at"] + timedelta(microseconds=1)),
    ],
)
def test_every_field_is_covered(field, other):
    assert event_hash(GENESIS, **{**EVENT, field: other}) != event_hash(GENESIS, **EVENT)


def test_the_previous_hash_is_covered():
    assert event_hash(b"\x01" * 32, **EVENT) != event_hash(GENESIS, **EVENT)


def test_text_cannot_move_from_one_field_to_the_next():
    moved = {**EVENT, "event_type": "order", "aggregate_type": "-createdorder"}

    assert event_hash(GENESIS, **moved) != event_hash(GENESIS, **EVENT)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC), 1),
        (datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), -1),
        (datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), 253402300799999999),
        (datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), 0),
    ],
)
def test_microseconds_are_exact(moment, expected):
    assert microseconds(moment) == expected
