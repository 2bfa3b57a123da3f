"""What befalls a running system: parts killed and frozen, a broker wiped, everything at once."""

import contextlib
import os
import shutil
import signal
import threading
import time
from collections import Counter
from random import Random

import psutil

from tests.e2e.system import System, eventually

PARTS = (
    "gateway",
    "eventstore",
    "subscribe_ordering",
    "subscribe_payments",
    "subscribe_restaurant",
    "orderquery-store1",
    "orderquery-store2",
    "worker",
    "web",
    "postgres",
    "nats",
    "valkey",
)
HEAL_SECONDS = 150


class Calamities:
    """Strikes as the dice fall; `heal` undoes all that does not pass by itself."""

    def __init__(self, system: System, dice: Random) -> None:
        self.happened: Counter[str] = Counter()
        self._system, self._dice = system, dice
        self._frozen: list[psutil.Process] = []
        self._thawing: list[threading.Thread] = []
        self._calm = threading.Event()

    def storm(self, seconds: float, *, pause: float = 1.5) -> None:
        """Strike again and again for so long."""
        self._calm.clear()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            strike = self._dice.choices(
                [self.kill, self.freeze, self.wipe_nats, self.crash_a_session, self.kill_all],
                weights=[8, 6, 2, 2, 1],
            )[0]
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                strike()
            self.wait(pause)

    def wait(self, seconds: float) -> None:
        """Let things go on for so long at most."""
        time.sleep(self._dice.uniform(0.1, seconds))

    def strike(self, name: str) -> None:
        """One calamity, by what `happened` calls it: "kill web", "freeze nats", "wipe nats"."""
        verb, _, part = name.partition(" ")
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if name == "wipe nats":
                self.wipe_nats()
            elif verb == "kill":
                self.kill(part)
            else:
                self.freeze(part)

    def kill(self, part: str = "") -> None:
        """kill -9."""
        part = part or self._dice.choice(PARTS)
        if pid := self._system.pid(part):
            os.kill(pid, signal.SIGKILL)
            self.happened[f"kill {part}"] += 1

    def kill_all(self) -> None:
        """kill -9 of everything but the supervisor, which starts it in any order."""
        for part in self._dice.sample(PARTS, len(PARTS)):
            with contextlib.suppress(ProcessLookupError):
                if pid := self._system.pid(part):
                    os.kill(pid, signal.SIGKILL)
        self.happened["kill all"] += 1

    def freeze(self, part: str = "") -> None:
        """SIGSTOP of a part and its children, for some seconds."""
        part, seconds = part or self._dice.choice(PARTS), self._dice.uniform(0.3, 4.0)
        if not (pid := self._system.pid(part)):
            return
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        self._frozen += family
        _signal(family, signal.SIGSTOP)
        self.happened[f"freeze {part}"] += 1

        def thaw() -> None:
            self._calm.wait(seconds)
            _signal(family, signal.SIGCONT)

        self._thawing.append(threading.Thread(target=thaw))
        self._thawing[-1].start()

    def wipe_nats(self) -> None:
        """The broker dies and its disk is lost."""
        self._system.kill("nats")
        shutil.rmtree(self._system.data_dir / "nats" / "jetstream", ignore_errors=True)
        self.happened["wipe nats"] += 1

    def crash_a_session(self) -> None:
        """kill -9 of one of PostgreSQL's processes: it ends all sessions and recovers."""
        if children := psutil.Process(self._system.pid("postgres")).children():
            self._dice.choice(children).kill()
            self.happened["crash a session"] += 1

    def heal(self) -> None:
        """Let go of what is frozen and wait until every part runs."""
        self._calm.set()
        for thread in self._thawing:
            thread.join()
        _signal(self._frozen, signal.SIGCONT)
        self._thawing, self._frozen = [], []
        eventually(lambda: not self.missing(), "every part runs", HEAL_SECONDS)

    def missing(self) -> list[str]:
        """The parts that don't run now."""
        return [part for part in PARTS if not _runs(self._system.pid(part))]


def _runs(pid: int) -> bool:
    return pid != 0 and psutil.pid_exists(pid)


def _signal(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
