"""Wakes those who wait for events: followers of a stream, and the hooks of the server."""

import logging
import threading
from collections.abc import Callable, Collection

logger = logging.getLogger(__name__)
Hook = Callable[[str, int, int], None]


class Commits:
    """Counts the commits that this process knows of; safe to share between threads.

    Args:
        hooks: each called with (stream, last position, number of events) after every commit of
            this process that added events, by the thread that committed; must be quick.
    """

    def __init__(self, hooks: Collection[Hook] = ()) -> None:
        self.hooks = list(hooks)
        self.count = 0
        self._more = threading.Condition()

    def announce(self, stream: str, position: int, events: int) -> None:
        """Say that this process committed; never raises."""
        self.wake()
        for hook in self.hooks:
            try:
                hook(stream, position, events)
            except Exception:
                # The events are committed: nothing that follows may make the append look failed.
                logger.exception("a hook failed after the commit of %s %s", stream, position)

    def wake(self) -> None:
        """Make those who wait look; also for what another process committed."""
        with self._more:
            self.count += 1
            self._more.notify_all()

    def wait_beyond(self, count: int, timeout_seconds: float) -> None:
        """Wait until `self.count` is larger than `count`, or the time is up."""
        with self._more:
            self._more.wait_for(lambda: self.count > count, timeout_seconds)
