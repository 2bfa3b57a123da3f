"""The whole system, started by `manage.py up` in a folder of its own, and what it costs."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from benchmarks.stack import ROOT, eventually
from orders_site.embedded.postgres import url

START_SECONDS = 120.0
STOP_SECONDS = 60.0
MIB = 1024 * 1024


@dataclass(frozen=True)
class Memory:
    """Of one process or several alike, in MiB; shared pages count by the share of each (PSS)."""

    name: str
    processes: int
    pss: float
    rss: float


class System:
    """A running system on a data folder; ports and folder are in the environment."""

    def __init__(self, folder: Path, supervisor: int) -> None:
        self.folder = folder
        self._supervisor = supervisor
        self.web_port = int(os.environ["ORDERS_WEB_PORT"])

    @property
    def token(self) -> str:
        """Of the API client that there is from the start."""
        return (self.folder / "api-token").read_text().strip()

    def database(self, name: str) -> psycopg.Connection:
        """A connection of one's own to one of its databases."""
        return psycopg.connect(url(self.folder, name), autocommit=True)

    def processes(self) -> list[psutil.Process]:
        """The supervisor, and all with the folder in their command line or as where they work."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                place = f"{' '.join(process.cmdline())} {process.cwd()}"
                ours = process.pid == self._supervisor or str(self.folder) in place
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def cpu_seconds(self) -> dict[str, float]:
        """CPU spent so far, children that ended included, by what the processes are called."""
        spent: dict[str, float] = {}
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                name = self._name(process)
                spent[name] = spent.get(name, 0.0) + sum(process.cpu_times()[:4])
        return spent

    def memory(self) -> list[Memory]:
        """Of each kind of process, the largest first."""
        found: dict[str, list[tuple[float, float]]] = {}
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                used = process.memory_full_info()
                pair = (getattr(used, "pss", used.uss) / MIB, used.rss / MIB)
                found.setdefault(self._name(process), []).append(pair)
        memories = [
            Memory(name, len(used), sum(pss for pss, _ in used), sum(rss for _, rss in used))
            for name, used in found.items()
        ]
        return sorted(memories, key=lambda memory: -memory.pss)

    @contextlib.contextmanager
    def standing_still(self, pattern: str) -> Iterator[None]:
        """Stop the processes whose name matches from working for a while."""
        stopped = []
        for process in self.processes():
            # One that ended meanwhile stands still as well.
            with contextlib.suppress(psutil.NoSuchProcess):
                if re.fullmatch(pattern, self._name(process)):
                    process.suspend()
                    stopped.append(process)
        try:
            yield
        finally:
            for process in stopped:
                process.resume()

    def _name(self, process: psutil.Process) -> str:
        line = " ".join(process.cmdline())
        for pattern in (
            r"manage\.py (\w+)",
            r"(celery)d:",
            r"orders (fork server)",
            r"-m ([a-z_.]+)",
        ):
            if found := re.search(pattern, line):
                return found[1]
        if "granian" in line:
            return "granian"
        return process.name().partition(":")[0].split()[0]


@contextlib.contextmanager
def running_system(folder: Path) -> Iterator[System]:
    """The system from when it is ready until it is stopped in order."""
    log = folder / "up.log"
    with log.open("ab") as output:
        up = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "up", "--quiet"],
            env=os.environ | {"DJANGO_SETTINGS_MODULE": "orders_site.settings"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:

        def ready() -> bool:
            text = log.read_text()
            if up.poll() is not None:
                raise RuntimeError(f"`manage.py up` ended:\n{text[-4000:]}")
            return "Ready in" in text

        eventually(ready, "`manage.py up` is ready", START_SECONDS)
        yield System(folder, up.pid)
    finally:
        up.send_signal(signal.SIGTERM)
        try:
            up.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            up.kill()
            up.wait()
