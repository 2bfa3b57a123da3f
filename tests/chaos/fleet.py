"""Publishers as processes of their own, the NATS server behind them, and what can befall both."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from django.conf import settings

from tests.chaos import mirror
from tests.e2e.system import ROOT
from tests.integration.broker import Broker


class Fleet:
    """Two `manage.py run_publisher` on one log; each trouble is a method, to be thrown dice for.

    Args:
        folder: for the publishers' output and a copy of the NATS server's disk.
        grow: appends that many events to the log.
    """

    def __init__(
        self,
        broker: Broker,
        database_url: str,
        folder: Path,
        dice: Random,
        grow: Callable[[int], None],
    ) -> None:
        self.broker, self.dice, self.grow = broker, dice, grow
        self._url, self._folder = database_url, folder
        self._running: list[subprocess.Popen[bytes] | None] = [None, None]
        self.troubles: dict[str, Callable[[], None]] = {
            "a publisher killed": self.kill_one,
            "both publishers killed": self.kill_both,
            "nats killed": self.kill_nats,
            "nats wiped": self.wipe_nats,
            "nats lost its tail": self.lose_tail,
            "nats paused": self.pause_nats,
            "a foreign message": self.stray,
            "events appended": lambda: self.grow(self.dice.randrange(1, 400)),
        }

    @property
    def old_disk(self) -> Path:
        """What the NATS server's disk was like some time ago."""
        return self._folder / "old-disk"

    def man(self) -> None:
        """Have both publishers running."""
        for place, process in enumerate(self._running):
            if process is None or process.poll() is not None:
                self._running[place] = self._start(place)

    def stop(self) -> list[int]:
        """SIGTERM to both; their exit codes."""
        processes = [process for process in self._running if process is not None]
        for process in processes:
            process.terminate()
        return [process.wait(15) for process in processes]

    def kill_one(self) -> None:
        """kill -9, somewhere on the way to the head."""
        self._wait_for_a_moment()
        self._kill(self.dice.randrange(2))

    def kill_both(self) -> None:
        self._wait_for_a_moment()
        self.kill_all()

    def kill_nats(self) -> None:
        self._wait_for_a_moment()
        self.broker.kill()
        if not self.old_disk.exists():
            shutil.copytree(self.broker.server.home, self.old_disk)
        self.broker.server.start()

    def wipe_nats(self) -> None:
        self.broker.wipe()
        # Most of what follows a wipe is of interest while the refill is under way.
        if self.dice.random() < 0.7:
            self.kill_one()

    def lose_tail(self) -> None:
        """As after a power cut: what the server acknowledged last is gone from its disk."""
        if not self.old_disk.exists():
            self.kill_nats()
            self.grow(50)
            return
        self.broker.kill()
        shutil.rmtree(self.broker.server.home)
        shutil.move(self.old_disk, self.broker.server.home)
        self.broker.server.start()

    def pause_nats(self) -> None:
        self.broker.pause()
        try:
            self.grow(self.dice.randrange(1, 50))
            time.sleep(self.dice.uniform(0.1, 2.0))
        finally:
            self.broker.unpause()

    def stray(self) -> None:
        """Somebody else publishes to the stream; there may be none to take it."""
        with suppress(Exception):
            self.broker.publish("ORDERS.stray", b"{}")

    def _wait_for_a_moment(self) -> None:
        """Return at a random point of the refill, or when it seems to be over."""
        until = time.monotonic() + self.dice.uniform(0.0, 2.0)
        target = self.dice.randrange(1, 4_000)
        while time.monotonic() < until and mirror.state(self.broker.url)[1] < target:
            time.sleep(0.002)

    def _start(self, place: int) -> "subprocess.Popen[bytes]":
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "orders_site.settings",
            "ORDERS_EVENTSTORE_DATABASE_URL": self._url,
            "ORDERS_DATA_DIR": str(settings.DATA_DIR),
        }
        with (self._folder / f"publisher-{place}.log").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "manage.py", "run_publisher"],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=output,
            )

    def _kill(self, place: int) -> None:
        process = self._running[place]
        if process is not None:
            process.kill()
            process.wait()
            self._running[place] = None

    def kill_all(self) -> None:
        """Leave no process behind."""
        self._kill(0)
        self._kill(1)

    def output(self) -> str:
        """What the publishers said."""
        return "".join(path.read_text() for path in sorted(self._folder.glob("publisher-*.log")))
