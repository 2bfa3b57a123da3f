"""Signing checkpoints of the log: the key, and what is looked at before anything is signed."""

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from django.conf import settings

from eventstore.client.events import Event, StreamHead
from eventstore.client.port import EventStore
from eventstore.integrity.checkpoint_file import CheckpointFile
from eventstore.integrity.checkpoints import Keys, SignedCheckpoint, key_id_of, signed

GENERATED_KEY = "checkpoint-key.pem"


class KeyUnusable(Exception):
    """There is no key to sign with, or it is not an Ed25519 key in PEM."""


class LogContradicts(Exception):
    """The log is not what the last signed checkpoint says; nothing was signed."""


def key_path() -> Path:
    """The file of the signing key: the settings' one, else the one in the data folder."""
    given = settings.CHECKPOINT_KEY_FILE
    return Path(given) if given else Path(settings.DATA_DIR) / GENERATED_KEY


def signing_key() -> Ed25519PrivateKey:
    """The key to sign with; generated in the data folder where the settings name none.

    Raises:
        KeyUnusable: also in production without ORDERS_CHECKPOINT_KEY_FILE.
    """
    path = key_path()
    if not settings.CHECKPOINT_KEY_FILE and not path.exists():
        if settings.PRODUCTION:
            raise KeyUnusable("ORDERS_CHECKPOINT_KEY_FILE is not set, so no checkpoint is signed")
        _generate(path)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(f"{path} can't be read as a key: {type(error).__name__}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"{path} is not an Ed25519 key")
    return key


def create_key() -> Path:
    """Make the signing key, unless it is there; its file. OSError if that can't be written."""
    path = key_path()
    if not path.exists():
        _generate(path)
    return path


def trusted_keys(public: Iterable[Path] = ()) -> Keys:
    """The public keys that checkpoints may be signed with: our own, if there is one, and these.

    Raises:
        KeyUnusable: one of them can't be read.
    """
    keys: list[Ed25519PublicKey] = []
    if settings.CHECKPOINT_KEY_FILE or key_path().exists():
        keys.append(signing_key().public_key())
    for path in public:
        try:
            key = load_pem_public_key(path.read_bytes())
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise KeyUnusable(f"{path} can't be read as a public key") from error
        if not isinstance(key, Ed25519PublicKey):
            raise KeyUnusable(f"{path} is not an Ed25519 key")
        keys.append(key)
    return {key_id_of(key): key for key in keys}


@dataclass(frozen=True)
class Signer:
    """Signs checkpoints of a log's streams into a folder outside of its database."""

    store: EventStore
    folder: Path
    key: Ed25519PrivateKey

    @classmethod
    def from_settings(cls, store: EventStore) -> "Signer":
        """The settings' folder and key; raises KeyUnusable."""
        return cls(store, Path(settings.CHECKPOINT_DIR), signing_key())

    def file(self, stream: str) -> CheckpointFile:
        """The checkpoints of a stream."""
        public = self.key.public_key()
        return CheckpointFile(self.folder, stream, {key_id_of(public): public})

    def sign(self, stream: str) -> SignedCheckpoint | None:
        """Sign where the stream stands; None if the last checkpoint says so already.

        May run several times at once.

        Raises:
            LogContradicts: a person has to look.
            EventStoreError, TransientError: the log can't be read.
            OSError: the file can't be written.
        """
        file = self.file(stream)
        with file.locked():
            head = self.store.head(stream)
            last = file.last()
            if last is not None:
                self._compare(head, last)
            if head.position == 0 or (last is not None and last.position == head.position):
                return None
            at_head = self._event(stream, head.position)
            if at_head is None or at_head.hash != head.hash:
                raise LogContradicts(f"{stream}: the head's hash is not that of its event")
            return self._append(file, _checkpoint(head))

    def sign_recovery(self, head: StreamHead, *, kept: int) -> SignedCheckpoint:
        """Sign that the log goes on under a new id, as it was before up to position `kept`.

        Raises:
            OSError: the file can't be written.
        """
        file = self.file(head.stream)
        with file.locked():
            last = file.last()
            if last is not None and last.recovery and last.log_id == head.log_id:
                return last
            return self._append(file, _checkpoint(head, recovery=True, kept=kept))

    def _append(self, file: CheckpointFile, checkpoint: SignedCheckpoint) -> SignedCheckpoint:
        done = signed(checkpoint, self.key)
        file.append(done)
        return done

    def _compare(self, head: StreamHead, last: SignedCheckpoint) -> None:
        """Raise LogContradicts unless the log still is what was signed last."""
        said = f"{head.stream}: the checkpoint signed at {last.signed_at:%Y-%m-%d %H:%M:%S} UTC"
        if last.log_id != head.log_id:
            raise LogContradicts(f"{said} is of log {last.log_id}, this log is {head.log_id}")
        if last.position > head.position:
            raise LogContradicts(
                f"{said} had the log at {last.position}, it ends at {head.position} now"
            )
        found = self._event(head.stream, last.position)
        if found is None or found.hash != last.hash:
            raise LogContradicts(f"{said} has another hash at {last.position} than the log")

    def _event(self, stream: str, position: int) -> Event | None:
        return next(self.store.read_stream(position, stream=stream, limit=1), None)


def _checkpoint(head: StreamHead, *, recovery: bool = False, kept: int = 0) -> SignedCheckpoint:
    return SignedCheckpoint(
        stream=head.stream,
        log_id=head.log_id,
        position=head.position,
        hash=head.hash,
        signed_at=datetime.now(UTC),
        recovery=recovery,
        kept=kept,
    )


def _generate(path: Path) -> None:
    """A new key at `path`, for its owner only; of several who do so at once one gets through."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    try:
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
