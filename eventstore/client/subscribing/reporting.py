"""How far a subscription is: its checkpoint, and the lines in the log that say that it lives."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from eventstore.client import metrics
from eventstore.client.broker import Connection
from eventstore.client.subscribing.binding import Binding, NotYet
from eventstore.client.subscribing.catching_up import CatchingUp
from eventstore.client.subscribing.checkpointing import Checkpoints
from eventstore.client.subscribing.desk import Desk
from eventstore.client.subscribing.pulling import ConsumerGone
from eventstore.client.subscription import Subscription

logger = logging.getLogger("eventstore.subscriber")

TICK_SECONDS = 1.0
BUSY_LINE_SECONDS = 10.0
IDLE_LINE_SECONDS = 60.0
SAME_OUTAGE_SECONDS = 60.0


class Reporter:
    """Writes the checkpoint about every second in which something happened, and the log lines.

    Args:
        eager: ask the broker at every tick, also when nothing happened.
    """

    def __init__(self, subscription: Subscription, desk: Desk, *, eager: bool = False) -> None:
        self.behind: int | None = None
        self._subscription = subscription
        self._desk = desk
        self._log = CatchingUp(subscription, desk)
        self._eager = eager
        name = subscription.name
        self._counted, self._count = 0, metrics.EVENTS.labels(name)
        self._waiting, self._pending = metrics.WAITING.labels(name), metrics.BEHIND.labels(name)
        self._ticked = self._asked = self._told = 0.0
        self._asked_events = 0
        # Of which stream, by its creation, and its last position when it was looked at.
        self._seen: tuple[object, int] = (None, 0)
        self._trails = False
        self._line_told: tuple[int, int | None] = (0, None)
        self._outage_since: float | None = None
        self._outage_told: tuple[str, float] = ("", 0.0)

    def started(self) -> None:
        """The first line."""
        logger.info("%s: starting, for %s", self._subscription.worker, self._subscription.name)

    def stopped(self) -> None:
        """The last line."""
        self._line()

    def is_due(self) -> bool:
        """Whether it is time for a tick."""
        return time.monotonic() - self._ticked >= TICK_SECONDS

    async def tick(
        self,
        connection: Connection,
        binding: Binding,
        in_thread: Callable[[Callable[[], Any]], Awaitable[Any]],
    ) -> None:
        """Move the checkpoint to what the broker knows as acknowledged; a line now and then."""
        now = self._ticked = time.monotonic()
        busy = self._desk.events != self._asked_events or self.behind != 0 or self._trails
        if self._eager or busy or now - self._asked >= BUSY_LINE_SECONDS:
            await self._ask(connection, binding, in_thread)
        self._recovered()
        self._measure()
        news = (self._desk.events, self.behind) != self._line_told
        if now - self._told >= (BUSY_LINE_SECONDS if news else IDLE_LINE_SECONDS):
            self._line()

    def outage(self, error: BaseException) -> None:
        """Work stopped; one line for one outage."""
        now = time.monotonic()
        self._waiting.set(1)
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        if self._outage_since is None:
            self._outage_since = now
        told, when = self._outage_told
        if reason != told or now - when > SAME_OUTAGE_SECONDS:
            self._outage_told = (reason, now)
            # At a first start the publisher makes the stream at any moment.
            early = isinstance(error, NotYet) and now == self._outage_since
            level = logging.INFO if early else logging.WARNING
            logger.log(level, "%s: waiting, %s", self._subscription.worker, reason)

    async def _ask(
        self,
        connection: Connection,
        binding: Binding,
        in_thread: Callable[[Callable[[], Any]], Awaitable[Any]],
    ) -> None:
        events = self._desk.events
        info = await connection.js.consumer_info(self._subscription.stream, binding.consumer)
        floor = info.ack_floor.stream_seq if info.ack_floor else 0
        self.behind = (info.num_pending or 0) + (info.num_ack_pending or 0)
        created, last = self._seen
        if self.behind == 0 and created == binding.created:
            # The floor stands at the last event that concerns the subscription; of those that were
            # on the stream when it was last looked at, none is left.
            floor = max(floor, last)
        # Asked last: what the consumer has passed over is older than the first of the stream now.
        stream = await connection.js.stream_info(self._subscription.stream)
        if stream.created != binding.created:
            raise ConsumerGone("the stream was made anew")
        first = stream.state.first_seq
        if first > 1 and (left := await in_thread(lambda: self._log.up_to(first, binding))):
            self.behind += left
        else:
            await in_thread(lambda: Checkpoints(self._subscription).advance(binding.log_id, floor))
        self._seen = stream.created, stream.state.last_seq
        self._trails = self.behind == 0 and floor < stream.state.last_seq
        self._asked, self._asked_events = time.monotonic(), events

    def _recovered(self) -> None:
        if self._outage_since is not None:
            seconds = time.monotonic() - self._outage_since
            self._outage_since, self._outage_told = None, ("", 0.0)
            self._waiting.set(0)
            logger.info("%s: working again after %.0f s", self._subscription.worker, seconds)

    def _measure(self) -> None:
        self._count.inc(self._desk.events - self._counted)
        self._counted = self._desk.events
        if self.behind is not None:
            self._pending.set(self.behind)

    def _line(self) -> None:
        self._told, self._line_told = time.monotonic(), (self._desk.events, self.behind)
        behind = "unknown" if self.behind is None else f"{self.behind:,}"
        logger.info(
            "%s: %s events applied, %s behind",
            *(self._subscription.worker, f"{self._desk.events:,}", behind),
        )
