"""Our own processes as the supervisor's parts, and their logs on one screen."""

import contextlib
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TextIO

from orders_site.embedded.forking import ForkServer
from orders_site.embedded.ports import refuse_taken
from orders_site.embedded.process import ServerProcess

READY_SECONDS = 90.0
TAIL_SECONDS = 0.2
READ_BYTES = 64 * 1024
COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


@dataclass
class PythonPart:
    """A Python process of ours, in a folder of its own so that a left-over one is recognised.

    `arguments` follow the interpreter; `forks` starts it, where that is given. `ports` come with
    their settings and are looked at before the start.
    """

    name: str
    data_dir: Path
    arguments: Sequence[str]
    ready: Callable[[], bool]
    ports: Mapping[int, str] = field(default_factory=dict)
    forks: ForkServer | None = None

    def __post_init__(self) -> None:
        self.home = self.data_dir / "run" / f"{self.name}.d"
        self.process = ServerProcess(
            self.name,
            self.data_dir,
            home=self.home,
            program=Path(sys.executable).resolve().name,
            forks=self.forks,
        )

    def start(self) -> None:
        self.process.start(self._prepare, ready=self.ready, timeout=READY_SECONDS)

    def stop(self) -> None:
        self.process.stop()

    def is_running(self) -> bool:
        return self.process.owns_running()

    @property
    def log_path(self) -> Path:
        return self.process.log_path

    def _prepare(self) -> Sequence[str]:
        self.home.mkdir(parents=True, exist_ok=True)
        refuse_taken(self.ports)
        return [sys.executable, *self.arguments]


class LogScreen:
    """Follows log files and prints their lines with the part's name in front."""

    def __init__(self, output: TextIO, paths: Mapping[str, Path]) -> None:
        self._output = output
        self._colour = output.isatty() and "NO_COLOR" not in os.environ
        width = max(map(len, paths), default=0)
        self._prefixes = {
            name: self._paint(f"{name:<{width}} |", colour)
            for name, colour in zip(paths, itertools.cycle(COLOURS), strict=False)
        }
        self._logs = {name: _Log(path) for name, path in paths.items()}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="log screen", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Print what is there and stop."""
        self._stop.set()
        self._thread.join()

    def _follow(self) -> None:
        # Nobody reads any more: the logs are in their files.
        with contextlib.suppress(OSError):
            self._print_all()

    def _print_all(self) -> None:
        while True:
            last = self._stop.is_set()
            for name, log in self._logs.items():
                for line in log.new_lines():
                    print(f"{self._prefixes[name]} {line}", file=self._output)
            self._output.flush()
            if last:
                return
            self._stop.wait(TAIL_SECONDS)

    def _paint(self, text: str, colour: int) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._colour else text


class _Log:
    """A log file that is read as it grows, and from its end into the one that takes its place.

    It is held open: rotated within an instant, it has another inode, and maybe no fewer bytes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begun = b""
        self._file = self._open()
        if self._file is not None:
            # What a log held before this run is not news.
            self._file.seek(0, os.SEEK_END)

    def new_lines(self) -> Iterator[str]:
        """Whole lines written since the last look; of a line without an end a good deal."""
        while True:
            # Looked at first: what was written to a file before its rotation is read then.
            replaced = self._is_replaced()
            if self._file is not None:
                yield from self._read(self._file, to_the_end=replaced)
            if not replaced:
                return
            if self._file is not None:
                self._file.close()
            self._file = self._open()

    def _read(self, file: BinaryIO, *, to_the_end: bool) -> Iterator[str]:
        while part := file.read(READ_BYTES):
            text = self._begun + part
            end = text.rfind(b"\n") + 1 or len(text) * (len(text) >= READ_BYTES)
            self._begun = text[end:]
            yield from text[:end].decode(errors="replace").splitlines()
        if to_the_end and self._begun:
            yield self._begun.decode(errors="replace")
            self._begun = b""

    def _is_replaced(self) -> bool:
        """Whether another file has this one's name; one that was emptied is read from its start."""
        try:
            named = self._path.stat()
        except OSError:
            return False  # between two, or not there yet
        if self._file is None:
            return True
        own = os.fstat(self._file.fileno())
        if own.st_size < self._file.tell():
            self._file.seek(0)
        return not os.path.samestat(named, own)

    def _open(self) -> BinaryIO | None:
        try:
            return self._path.open("rb")
        except OSError:
            return None
