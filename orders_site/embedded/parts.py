"""Our own processes as the supervisor's parts, and their logs on one screen."""

import contextlib
import itertools
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from orders_site.embedded.forking import ForkServer
from orders_site.embedded.ports import refuse_taken
from orders_site.embedded.process import ServerProcess

READY_SECONDS = 90.0
TAIL_SECONDS = 0.2
COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


@dataclass
class PythonPart:
    """A Python process of ours, in a folder of its own so that a left-over one is recognised.

    `arguments` follow the interpreter; `forks` starts it, where that is given. `port` and its
    setting are looked at before the start.
    """

    name: str
    data_dir: Path
    arguments: Sequence[str]
    ready: Callable[[], bool]
    port: int | None = None
    port_setting: str = ""
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
        if self.port is not None:
            refuse_taken(self.port, self.port_setting)
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
        self._paths = dict(paths)
        # What a log held before this run is not news.
        self._seen = {name: _size(path) for name, path in paths.items()}
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
            for name, path in self._paths.items():
                for line in self._new_lines(name, path):
                    print(f"{self._prefixes[name]} {line}", file=self._output)
            self._output.flush()
            if last:
                return
            self._stop.wait(TAIL_SECONDS)

    def _new_lines(self, name: str, path: Path) -> list[str]:
        """Whole lines written since the last look; a file that was rotated starts anew."""
        size = _size(path)
        start = self._seen[name] if size >= self._seen[name] else 0
        if size == start:
            self._seen[name] = start
            return []
        with path.open("rb") as log:
            log.seek(start)
            text = log.read(size - start)
        whole = text[: text.rfind(b"\n") + 1]
        self._seen[name] = start + len(whole)
        return whole.decode(errors="replace").splitlines()

    def _paint(self, text: str, colour: int) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._colour else text


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
