"""The hash chain of the log: each hash covers the one before it and all of its event."""

import struct
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

GENESIS = bytes(32)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970-01-01T00:00Z, without the rounding of a float timestamp."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


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
    digest = sha256(previous)
    for text in (stream, event_type, aggregate_type, aggregate_id, data, metadata):
        encoded = text.encode()
        digest.update(struct.pack(">I", len(encoded)))
        digest.update(encoded)
    digest.update(event_id.bytes)
    digest.update(struct.pack(">qqq", position, version, microseconds(recorded_at)))
    return digest.digest()
