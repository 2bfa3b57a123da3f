"""The log as a file: gzip members of JSON lines, with every hash, checked on the way out and in.

A file is only ever appended to: an export that was interrupted goes on after its last whole
member, and a later export adds what is new. docs/operations.md has the layout.
"""

import fcntl
import json
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from eventstore.client.events import Event, StreamHead, to_json
from eventstore.client.hashing import GENESIS
from eventstore.client.port import EventStore
from eventstore.integrity.verification import hash_of

FORMAT = "orders event log 1"
MEMBER_EVENTS = 5_000
MEMBER_CHARACTERS = 8 * 1024 * 1024
# Unpacked at most a thousand times as much.
READ_BYTES = 16 * 1024
# Data and metadata as JSON in JSON, at worst six bytes a character, and the rest.
LONGEST_LINE = 8 * 1024 * 1024
GZIP = 31

Told = Callable[[int], object]


class ArchiveDamaged(Exception):
    """The file is not an archive of a log, or not a whole one; in words for the operator."""


@dataclass(frozen=True)
class Archived:
    """What there is in an archive: whose log, how far; `complete` if an export ended there."""

    stream: str
    log_id: UUID
    position: int = 0
    hash: bytes = GENESIS
    complete: bool = False


class Reader:
    """Reads an archive from its beginning, and checks the chain of hashes as it goes.

    Attributes:
        archived: what was read so far; None before the first line.
        whole: the same up to the last whole member; what comes after that was never finished.
        end: where in the file that member ends.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.archived: Archived | None = None
        self.whole: Archived | None = None
        self.end = 0

    def events(self) -> Iterator[Event]:
        """The events in order.

        Raises:
            ArchiveDamaged: names the line, or says that the file is cut short.
        """
        for number, line in enumerate(self._lines(), start=1):
            try:
                fields = json.loads(line)
                if self.archived is None:
                    self.archived = _header(fields)
                elif "end" in fields:
                    self._check_end(fields["end"])
                else:
                    yield self._event(fields)
            except ArchiveDamaged as problem:
                raise ArchiveDamaged(f"line {number}: {problem}") from None
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
                raise ArchiveDamaged(f"line {number} is not of an archive") from error

    def _event(self, fields: dict[str, Any]) -> Event:
        before = self.archived
        assert before is not None
        event = Event(
            event_id=UUID(fields["event_id"]),
            event_type=str(fields["event_type"]),
            aggregate_id=str(fields["aggregate_id"]),
            aggregate_type=str(fields["aggregate_type"]),
            data=str(fields["data"]),
            metadata=str(fields["metadata"]),
            stream=before.stream,
            version=_number(fields["version"]),
            position=_number(fields["position"]),
            recorded_at=datetime.fromisoformat(fields["recorded_at"]).astimezone(UTC),
            hash=bytes.fromhex(fields["hash"]),
        )
        if event.position != before.position + 1:
            raise ArchiveDamaged(f"position {event.position} after {before.position}")
        if event.hash != hash_of(event, before.hash):
            raise ArchiveDamaged(f"the event at {event.position} is not what its hash says")
        self.archived = Archived(before.stream, before.log_id, event.position, event.hash)
        return event

    def _check_end(self, end: dict[str, Any]) -> None:
        before = self.archived
        assert before is not None
        if (end["position"], end["hash"]) != (before.position, before.hash.hex()):
            raise ArchiveDamaged("the end that it tells of is not where it ends")
        self.archived = Archived(
            before.stream, before.log_id, before.position, before.hash, complete=True
        )

    def _lines(self) -> Iterator[bytes]:
        inflate, pending, at = zlib.decompressobj(GZIP), b"", 0
        while chunk := self._file.read(READ_BYTES):
            # Zeros between members are what a power cut leaves of a write.
            while chunk and (at > self.end or chunk.strip(b"\0")):
                try:
                    text = inflate.decompress(chunk)
                except zlib.error:
                    raise ArchiveDamaged(f"it can't be unpacked after byte {self.end}") from None
                at += len(chunk) - len(inflate.unused_data)
                chunk = inflate.unused_data
                *lines, pending = (pending + text).split(b"\n")
                yield from lines
                if len(pending) > LONGEST_LINE:
                    raise ArchiveDamaged(f"a line after byte {self.end} is too long")
                if inflate.eof:
                    inflate = zlib.decompressobj(GZIP)
                    self.end, self.whole = at, self.archived


def verified(path: Path, told: Told) -> Archived:
    """Read an archive through; what it holds.

    Args:
        told: called with the position after each event.

    Raises:
        ArchiveDamaged: or it is not complete.
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        _check_kind(file)
        reader = Reader(file)
        for event in reader.events():
            told(event.position)
    if reader.whole is None or not reader.whole.complete:
        raise ArchiveDamaged("its export was not finished; run export_log again, it goes on")
    return reader.whole


def export(store: EventStore, stream: str, path: Path, told: Told) -> Archived:
    """Write the stream into the file, or add what the file lacks, up to where the stream is now.

    Args:
        told: called with the position after each member is on disk.

    Raises:
        ArchiveDamaged: the file is something else, of another log, or the log is damaged.
        EventStoreError, TransientError: the log can't be read.
        OSError: the file can't be written.
    """
    head = store.head(stream)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        _check_kind(file)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArchiveDamaged("another export is writing to it") from None
        done = _begun(file, head)
        if done.complete and done.position == head.position:
            return done
        for member, upto in _members(store, head, done):
            done = upto
            file.write(member)
            file.flush()
            os.fsync(file.fileno())
            told(done.position)
    return done


def _check_kind(file: BinaryIO) -> None:
    """A device would be read without end, and neither it nor a pipe can be read again."""
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise ArchiveDamaged("it is no regular file")


def _begun(file: BinaryIO, head: StreamHead) -> Archived:
    """What the file has already; a member that is cut short is cut off, a new file is begun."""
    file.seek(0)
    if not file.read(1):
        begun = Archived(head.stream, head.log_id)
        header = {"archive": FORMAT, "stream": begun.stream, "log_id": str(begun.log_id)}
        file.write(_member([to_json(header)]))
        return begun
    file.seek(0)
    reader = Reader(file)
    for _ in reader.events():
        pass
    found = reader.whole
    if found is None:
        raise ArchiveDamaged("it has no beginning; remove it")
    if (found.stream, found.log_id) != (head.stream, head.log_id):
        raise ArchiveDamaged(
            f"it is of log {found.log_id} ({found.stream}), not {head.log_id} ({head.stream}); "
            f"export into a new file"
        )
    if found.position > head.position:
        raise ArchiveDamaged(
            f"it goes up to {found.position}, the log only to {head.position}: was its database "
            f"restored? Then `manage.py recover_log` comes first"
        )
    file.seek(reader.end)
    file.truncate()
    return found


def _members(
    store: EventStore, head: StreamHead, done: Archived
) -> Iterator[tuple[bytes, Archived]]:
    """What comes after `done`, a member at a time, the last of them with the end."""
    lines: list[str] = []
    size = 0
    events = store.read_stream(
        done.position + 1, stream=head.stream, limit=head.position - done.position
    )
    for event in events:
        if event.position != done.position + 1 or event.hash != hash_of(event, done.hash):
            raise ArchiveDamaged(
                f"the log is damaged at position {done.position + 1}: run `manage.py verify_log`"
            )
        done = Archived(done.stream, done.log_id, event.position, event.hash)
        lines.append(_line(event))
        size += len(lines[-1])
        if len(lines) >= MEMBER_EVENTS or size >= MEMBER_CHARACTERS:
            yield _member(lines), done
            lines, size = [], 0
    if (done.position, done.hash) != (head.position, head.hash):
        raise ArchiveDamaged(
            f"the log ends at {done.position}, not as its head says: run `manage.py verify_log`"
        )
    lines.append(to_json({"end": {"position": done.position, "hash": done.hash.hex()}}))
    yield _member(lines), Archived(done.stream, done.log_id, done.position, done.hash, True)


def _member(lines: list[str]) -> bytes:
    deflate = zlib.compressobj(6, zlib.DEFLATED, GZIP)
    return deflate.compress(("\n".join(lines) + "\n").encode()) + deflate.flush()


def _line(event: Event) -> str:
    fields = {name: value for name, value in vars(event).items() if name in _TEXTS}
    return to_json(
        {
            **fields,
            "event_id": str(event.event_id),
            "recorded_at": event.recorded_at.isoformat(timespec="microseconds"),
            "hash": event.hash.hex(),
        }
    )


_TEXTS = {
    *("event_type", "aggregate_id", "aggregate_type", "data", "metadata", "version", "position"),
}


def _header(fields: dict[str, Any]) -> Archived:
    if fields.get("archive") != FORMAT:
        raise ArchiveDamaged("this is not an archive of a log that this version knows")
    return Archived(str(fields["stream"]), UUID(fields["log_id"]))


def _number(value: object) -> int:
    if type(value) is not int or not 0 < value < 2**63:
        raise ValueError
    return value
