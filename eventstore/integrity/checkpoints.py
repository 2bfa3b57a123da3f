"""Signed checkpoints: what the log was at some moment, signed with a key that its database lacks.

They are kept outside of the database, so that who can write there can neither rewrite the chain of
hashes as a whole nor cut off its end without being found out. docs/guarantees.md has the layout.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from eventstore.client.events import to_json
from eventstore.client.validation import is_stream_name

# What is signed begins with this, so that a signature can't be taken for one of something else.
DOMAIN = b"orders signed checkpoint 1\n"
MAX_POSITION = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class SignedCheckpoint:
    """The log `log_id` had this hash at this position.

    `kept`, in a checkpoint that tells of a recovery: up to this position the log is what it was
    before; what earlier checkpoints say of positions beyond is void. `number` is the line's.
    """

    stream: str
    log_id: UUID
    position: int
    hash: bytes
    signed_at: datetime
    key_id: str = ""
    signature: bytes = b""
    recovery: bool = False
    kept: int = 0
    number: int = 0


@dataclass(frozen=True)
class Unreadable:
    """A line that tells nothing: what it is in words, whether it is just the beginning of one, and
    the id of the key that it is signed with if that is not known.
    """

    number: int
    what: str
    torn: bool = False
    unknown_key: str = ""


Line = SignedCheckpoint | Unreadable
Keys = Mapping[str, Ed25519PublicKey]


def key_id_of(key: Ed25519PublicKey) -> str:
    """Names a key: the first half of the SHA-256 of its 32 bytes, in hex."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return sha256(raw).hexdigest()[:32]


def signed(checkpoint: SignedCheckpoint, key: Ed25519PrivateKey) -> SignedCheckpoint:
    """The checkpoint with the key's id and signature."""
    named = replace(checkpoint, key_id=key_id_of(key.public_key()))
    return replace(named, signature=key.sign(_message(named)))


def line_of(checkpoint: SignedCheckpoint) -> bytes:
    """A signed checkpoint as a line of its file."""
    fields = {**_fields(checkpoint), "signature": checkpoint.signature.hex()}
    return to_json(fields).encode() + b"\n"


def read_line(text: bytes, number: int, keys: Keys) -> Line:
    """A line of the file, its signature checked."""
    text = text.strip(b"\n")
    if not text.endswith(b"}"):
        # Of a write that was interrupted a beginning remains, or zeros after a power cut.
        return Unreadable(number, "is cut short", torn=True)
    try:
        checkpoint = _read(json.loads(text), number)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Unreadable(number, "is no checkpoint")
    id_ = checkpoint.key_id
    key = keys.get(id_)
    if key is None:
        return Unreadable(number, f"is signed with the unknown key {id_}", unknown_key=id_)
    try:
        key.verify(checkpoint.signature, _message(checkpoint))
    except InvalidSignature:
        return Unreadable(number, "was changed: its signature is wrong")
    return checkpoint


def _read(fields: Any, number: int) -> SignedCheckpoint:
    checkpoint = SignedCheckpoint(
        stream=fields["stream"],
        log_id=UUID(fields["log_id"]),
        position=fields["position"],
        hash=bytes.fromhex(fields["hash"]),
        signed_at=datetime.fromisoformat(fields["signed_at"]).astimezone(UTC),
        key_id=str(fields["key_id"])[:64],
        signature=bytes.fromhex(fields["signature"]),
        recovery="kept" in fields,
        kept=fields.get("kept", 0),
        number=number,
    )
    numbers = (checkpoint.position, checkpoint.kept)
    if not all(type(each) is int and 0 <= each <= MAX_POSITION for each in numbers):
        raise ValueError
    if not is_stream_name(checkpoint.stream):
        raise ValueError
    return checkpoint


def _fields(checkpoint: SignedCheckpoint) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "stream": checkpoint.stream,
        "log_id": str(checkpoint.log_id),
        "position": checkpoint.position,
        "hash": checkpoint.hash.hex(),
        "signed_at": checkpoint.signed_at.isoformat(timespec="microseconds"),
        "key_id": checkpoint.key_id,
    }
    return {**fields, "kept": checkpoint.kept} if checkpoint.recovery else fields


def _message(checkpoint: SignedCheckpoint) -> bytes:
    return DOMAIN + to_json(_fields(checkpoint)).encode()
