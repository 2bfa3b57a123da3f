"""Keeps servers and processes running: starts them together, restarts what dies, stops in order."""

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from orders_site.embedded.process import EmbeddedServerError

log = logging.getLogger("up")

WATCH_SECONDS = 0.5
FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 30.0
# After this long alive a part has proved itself and its next restart is quick again.
STEADY_SECONDS = 60.0


class Part(Protocol):
    """Something that runs: an embedded server or one of our processes."""

    @property
    def name(self) -> str: ...

    def start(self) -> None:
        """Start and return when ready; EmbeddedServerError if that fails."""
        ...

    def stop(self) -> None: ...

    def is_running(self) -> bool: ...


class Supervisor:
    """Runs parts in stages: a stage starts when those before it are ready; stops in reverse."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        # Whether any part has run.
        self.begun = False
        self._parts: list[Part] = []
        self._keepers: list[threading.Thread] = []
        self._starting: set[str] = set()

    def start(self, stage: Sequence[Part]) -> None:
        """Start the parts of a stage side by side and keep them running from then on.

        Raises:
            EmbeddedServerError: the first part that did not become ready; the caller stops all.
        """
        self._parts.extend(stage)
        with ThreadPoolExecutor(max(1, len(stage))) as pool:
            try:
                for started in [pool.submit(self._begin, part) for part in stage]:
                    started.result()
            except BaseException:
                self.stopping.set()
                # Ends the waits of those that are still starting. One may launch its process only
                # after it was told to stop, so they are told until none is left.
                while self._starting:
                    for part in stage:
                        part.stop()
                    time.sleep(0.05)
                raise
        for part in stage:
            keeper = threading.Thread(target=self._keep, args=[part], name=part.name, daemon=True)
            keeper.start()
            self._keepers.append(keeper)

    def stop(self) -> None:
        """Stop everything, the last started first; returns when nothing of it runs."""
        self.stopping.set()
        for keeper in self._keepers:
            while keeper.is_alive():
                # One that is being started again may have a minute to wait until it is ready.
                for part in [part for part in self._parts if part.name in self._starting]:
                    part.stop()
                keeper.join(0.1)
        while self._parts:
            self._parts.pop().stop()

    def _begin(self, part: Part) -> None:
        self._starting.add(part.name)
        try:
            if not self.stopping.is_set():
                part.start()
                self.begun = True
        finally:
            self._starting.discard(part.name)

    def _keep(self, part: Part) -> None:
        backoff, since = FIRST_BACKOFF_SECONDS, time.monotonic()
        while not self.stopping.wait(WATCH_SECONDS):
            if part.is_running():
                continue
            if time.monotonic() - since > STEADY_SECONDS:
                backoff = FIRST_BACKOFF_SECONDS
            log.warning("%s ended; starting it again in %g s", part.name, backoff)
            if self.stopping.wait(backoff):
                return
            backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)
            try:
                self._begin(part)
                log.info("%s runs again", part.name)
            except EmbeddedServerError as error:
                log.error("%s", error)
            except Exception:
                # A disk that is full, say: it is tried again, or the part would stay away for ever.
                log.exception("%s can't be started", part.name)
            since = time.monotonic()
