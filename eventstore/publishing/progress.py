"""How a long refill comes along, in the log."""

import logging
import time
from collections.abc import Awaitable, Callable

logger = logging.getLogger("eventstore.publisher")

PROGRESS_SECONDS = 5.0
WORTH_TELLING = 1_000


class Progress:
    """Says how a long refill comes along, every few seconds."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._start = self._last = (0.0, 0)
        self._telling = False

    async def tell(self, position: int, head: Callable[[], Awaitable[int]]) -> None:
        """A line if it is time for one; `head` is asked only then."""
        now = time.monotonic()
        if self._telling and now - self._last[0] < PROGRESS_SECONDS:
            return
        remaining = await head() - position
        if not self._telling and remaining < WORTH_TELLING:
            return
        if not self._telling:
            self._telling, self._start = True, (now, position)
            logger.info(
                "%s: %d events to publish from %d on", self._stream, remaining, position + 1
            )
        else:
            rate = (position - self._last[1]) / (now - self._last[0])
            logger.info("%s: %d events/s, %d to go", self._stream, rate, remaining)
        self._last = (now, position)

    def caught_up(self, position: int) -> None:
        """The end of a refill, if there was one."""
        if self._telling:
            seconds = max(time.monotonic() - self._start[0], 0.001)
            events = position - self._start[1]
            logger.info(
                "%s: %d events published in %.1f s, %d events/s",
                *(self._stream, events, seconds, events / seconds),
            )
            self._telling = False
