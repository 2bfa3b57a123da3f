"""The hash chain of the log: each hash covers the one before it and all of its event."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from struct import Struct
from uuid import UUID

GENESIS = bytes(32)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LENGTH = Struct(">I").pack
_NUMBERS = Struct(">qqq").pack


def microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970-01-01T00:00Z, without the rounding of a float timestamp."""
    return (moment - _EPOCH) // _MICROSECOND


def event_hash(
    previous: bytes,
    *,
    stream: str,
    position: int,
    event_id: UUID,
    event_type: str,
    aggregate_type: str,
    aggregate_id: str,
    version: int,
    data: str,
    metadata: str,
    recorded_at: datetime,
) -> bytes:
    """SHA-256 over the previous hash and the event, every text prefixed with its length in bytes.

    The prefix is four bytes, numbers are eight, all big-endian; docs/guarantees.md has the layout,
    so that an auditor can check the chain without this code.
    """
    parts = [previous]
    for text in (stream, event_type, aggregate_type, aggregate_id, data, metadata):
        encoded = text.encode()
        parts += _LENGTH(len(encoded)), encoded
    parts += event_id.bytes, _NUMBERS(position, version, microseconds(recorded_at))
    return sha256(b"".join(parts)).digest()
