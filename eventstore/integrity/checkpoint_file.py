"""The files of signed checkpoints: one per stream, a line each, only ever appended to."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eventstore.integrity.checkpoints import (
    Keys,
    Line,
    SignedCheckpoint,
    Unreadable,
    line_of,
    read_line,
)

# A checkpoint has some 400 bytes; what is longer was not written by us.
LONGEST_LINE = 4096


class CheckpointFile:
    """The file of one stream's signed checkpoints; several processes may use it at once.

    Args:
        folder: made when the first checkpoint is written.
        keys: the public keys that are trusted.
    """

    def __init__(self, folder: Path, stream: str, keys: Keys) -> None:
        self.path = folder / f"{stream}.jsonl"
        self._stream = stream
        self._keys = keys

    def lines(self) -> Iterator[Line]:
        """Every line in the order written; none if there is no file. Empty lines are passed over.

        Raises:
            OSError: the file can't be read.
        """
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            number = 0
            while text := file.readline(LONGEST_LINE):
                number += 1
                if text.strip():
                    yield self._read(text, number)

    def last(self) -> SignedCheckpoint | None:
        """The last line that holds; None if there is none."""
        found = None
        for line in self._end():
            if isinstance(line, SignedCheckpoint):
                found = line
        return found

    def append(self, checkpoint: SignedCheckpoint) -> None:
        """Add a line, on disk when this returns; only within `locked`."""
        new = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            # A line that an interrupted write left behind is ended, not removed: nothing ever is.
            ended = new or _ends_a_line(descriptor)
            _write_all(descriptor, (b"" if ended else b"\n") + line_of(checkpoint))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if new:
            _sync_folder(self.path.parent)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One signer at a time, of those who share the folder."""
        self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _end(self) -> Iterator[Line]:
        """The last few lines."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            start = max(0, os.fstat(file.fileno()).st_size - 8 * LONGEST_LINE)
            file.seek(start)
            if start:
                file.readline()
            for text in file.readlines():
                yield self._read(text, 0)

    def _read(self, text: bytes, number: int) -> Line:
        line = read_line(text, number, self._keys)
        if isinstance(line, SignedCheckpoint) and line.stream != self._stream:
            return Unreadable(number, f"is of the stream {line.stream}")
        return line


def _ends_a_line(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"


def _write_all(descriptor: int, text: bytes) -> None:
    while text:
        text = text[os.write(descriptor, text) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
