"""Wakes those who wait for events: followers of a stream, and the hooks of the server."""

import logging
import threading
from collections.abc import Callable, Collection, Sequence

from eventstore.client.events import Event

logger = logging.getLogger(__name__)
Hook = Callable[[Sequence[Event]], None]


class Commits:
    """Counts the commits that this process knows of; safe to share between threads.

    Args:
        hooks: each called after every commit of this process with the events that it added (of
            one stream, in order), by the thread that committed; must be quick.
    """

    def __init__(self, hooks: Collection[Hook] = ()) -> None:
        self.hooks = list(hooks)
        self.count = 0
        self._more = threading.Condition()

    def announce(self, events: Sequence[Event]) -> None:
        """Say that this process committed; never raises."""
        self.wake()
        for hook in self.hooks:
            try:
                hook(events)
            except Exception:
                # The events are committed: nothing that follows may make the append look failed.
                logger.exception("a hook failed after a commit at %d", events[-1].position)

    def wake(self) -> None:
        """Make those who wait look; also for what another process committed."""
        with self._more:
            self.count += 1
            self._more.notify_all()

    def wait_beyond(self, count: int, timeout_seconds: float) -> None:
        """Wait until `self.count` is larger than `count`, or the time is up."""
        with self._more:
            self._more.wait_for(lambda: self.count > count, timeout_seconds)
