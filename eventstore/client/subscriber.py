"""The subscriber runtime: takes a subscription's messages from NATS, has them worked on by one
thread, acknowledges them last, and keeps the checkpoint.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import nats.errors
from django.conf import settings
from django.db import close_old_connections

from eventstore.client.broker import Backoff, BrokerAway, Connection, connected
from eventstore.client.outages import is_outage
from eventstore.client.subscribing.binding import (
    ACK_WAIT_SECONDS,
    Binding,
    SubscriptionRefused,
    bind,
)
from eventstore.client.subscribing.desk import Desk
from eventstore.client.subscribing.hand import Hand
from eventstore.client.subscribing.pulling import ConsumerGone, Puller, pulling
from eventstore.client.subscribing.racing import beside, first_of, within
from eventstore.client.subscribing.reporting import Reporter
from eventstore.client.subscription import Reactor, Subscription

logger = logging.getLogger(__name__)

T = TypeVar("T")

TICK_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 5.0
# After a stop: for the message in hand, for the last words to NATS, for the thread to end.
FINISH_SECONDS = 6.0
LEAVE_SECONDS = 1.5
THREAD_SECONDS = 0.5
# After so long without work, or a failure, a database connection may be dead.
DOUBTFUL_SECONDS = 0.5
# How long the broker may wait to hear of what is done while other work of the fetch goes on.
SETTLE_SECONDS = 0.25
# A reaction may take seconds (a payment): a worker that hoards messages keeps others idle.
REACTOR_BATCH = 32
# From the beginning of one fetch to that of the next, unless it was a whole batch: a fetch costs
# as much CPU as some ten events, so those that come in quick succession had better share one. An
# event that comes alone is worked on at once.
PROJECTOR_PACE_SECONDS = 0.01
REACTOR_PACE_SECONDS = 0.02


def run(subscription: Subscription, *, once: bool = False) -> None:
    """Work for the subscription until SIGTERM or SIGINT, then finish the message in hand.

    Args:
        once: return when nothing is left to do.

    Raises:
        SubscriptionRefused: a person has to decide something first.
    """
    # What is loaded by now stays: to look all of it through for garbage holds up what has come.
    gc.collect()
    gc.freeze()
    if not Subscriber(subscription, once=once).run():
        # A database or gateway that is frozen holds the thread up, which would keep the process
        # alive. What it was doing is not acknowledged and comes again.
        logger.warning("%s: ends without waiting any longer", subscription.worker)
        logging.shutdown()
        os._exit(0)


class Subscriber:
    """One worker of a subscription; `stop` may be called from any thread."""

    def __init__(
        self, subscription: Subscription, *, nats_url: str = "", once: bool = False
    ) -> None:
        self._subscription = subscription
        self._nats_url = nats_url or settings.NATS_URL
        self._once = once
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._stopped_at: float | None = None
        self._desk = Desk(
            subscription,
            attempts=settings.SUBSCRIPTION_ATTEMPTS,
            stopping=self._stopping.is_set,
            threads=settings.SUBSCRIPTION_THREADS,
            on_news=self._go_on,
        )
        self._interrupt: Callable[[], None] = lambda: None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=subscription.worker)
        self._batch = settings.SUBSCRIPTION_BATCH
        self._pace = PROJECTOR_PACE_SECONDS
        if isinstance(subscription.handler, Reactor):
            self._batch = min(self._batch, REACTOR_BATCH)
            self._pace = REACTOR_PACE_SECONDS
        self._pause = Backoff(longest=LONGEST_PAUSE_SECONDS)
        self._report = Reporter(subscription, self._desk, eager=once)
        self._worked_at = 0.0

    def run(self) -> bool:
        """See `run`; listens to signals only in the main thread. Whether all work has ended."""
        try:
            asyncio.run(self._main())
        except SubscriptionRefused as refusal:
            logger.error("%s: refused: %s", self._subscription.worker, refusal)
            raise
        finally:
            closed = self._thread.submit(self._desk.close)
            self._thread.shutdown(wait=False)
            wait([closed], THREAD_SECONDS)
        return closed.done()

    def stop(self) -> None:
        """Have `run` return when the message in hand is done."""
        self._stopped_at = self._stopped_at or time.monotonic()
        self._stopping.set()
        with contextlib.suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._stop.set)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._loop.add_signal_handler(number, self.stop)
        self._report.started()
        while not self._stopping.is_set():
            try:
                if await self._session():
                    break
            except SubscriptionRefused:
                raise
            except (nats.errors.Error, OSError, TimeoutError, ConsumerGone) as error:
                await self._wait_out(BrokerAway(str(error) or type(error).__name__))
            except Exception as error:
                if not is_outage(error):
                    logger.exception("%s: failed, and starts again", self._subscription.worker)
                await self._wait_out(error)
        self._report.stopped()

    async def _session(self) -> bool:
        """Work on one connection until it is lost; True at the end of all work."""
        async with contextlib.AsyncExitStack() as stack:
            connection = await self._unless_stopped(
                stack.enter_async_context(connected(self._nats_url, self._subscription.worker))
            )
            if connection is None:
                return True
            binding = await self._unless_stopped(
                bind(connection, self._subscription, self._in_thread)
            )
            if binding is None:
                return True
            puller = await stack.enter_async_context(
                pulling(
                    connection,
                    self._subscription.stream,
                    binding.consumer,
                    self._batch,
                    directly=True,
                )
            )
            self._interrupt = puller.interrupt
            stack.enter_context(beside(self._stop.wait(), puller.interrupt))
            lost = stack.enter_context(beside(connection.raise_when_lost(), puller.interrupt))
            hand = Hand(connection)
            try:
                with beside(_still_working(hand, puller), puller.interrupt):
                    return await self._serve(connection, binding, puller, hand, lost)
            finally:
                await self._leave(connection, binding, puller, hand)

    async def _serve(
        self,
        connection: Connection,
        binding: Binding,
        puller: Puller,
        hand: Hand,
        lost: "asyncio.Task[Any]",
    ) -> bool:
        next_fetch = 0.0
        while not self._stopping.is_set():
            messages = await puller.take(self._batch, TICK_SECONDS, not_before=next_fetch)
            hand.add(messages)
            if lost.done():
                lost.result()
            if (messages or self._desk.has_news) and not self._stopping.is_set():
                full = len(messages) >= self._batch
                next_fetch = 0.0 if full else time.monotonic() + self._pace
                await self._work(hand, puller)
            if self._report.is_due():
                puller.hear()
                await self._unless_stopped(self._in_thread(self._desk.retry))
                await self._unless_stopped(self._report.tick(connection, binding, self._in_thread))
                if self._once and self._report.behind == 0:
                    return True
        if self._desk.unfinished:
            await self._work(hand, puller)
        return True

    async def _work(self, hand: Hand, puller: Puller) -> None:
        """Have the thread work on what is in hand; what it leaves is given back."""
        deliveries = hand.deliveries(but=self._desk.unfinished)
        job = asyncio.ensure_future(
            self._in_thread(lambda: self._desk.handle(deliveries, hand.settle))
        )
        while not job.done() and not self._out_of_patience():
            await asyncio.wait([job], timeout=SETTLE_SECONDS)
            await hand.send_settled()
            if not job.done():
                puller.hear()
        if not job.done():
            job.cancel()
            return
        try:
            await job
        except Exception:
            await hand.give_back(self._pause.upcoming)
            raise
        await hand.give_back(0, but=self._desk.unfinished)
        self._pause.reset()

    def _go_on(self) -> None:
        """What was left unfinished could go on; from any thread."""
        with contextlib.suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._interrupt)

    def _out_of_patience(self) -> bool:
        stopped = self._stopped_at
        return stopped is not None and time.monotonic() - stopped > FINISH_SECONDS

    async def _leave(
        self, connection: Connection, binding: Binding, puller: Puller, hand: Hand
    ) -> None:
        """Give back what was not worked on, and write down how far the subscription is."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(LEAVE_SECONDS):
                puller.hear()
                hand.add(puller.waiting())
                await hand.give_back(0)
                if self._stopping.is_set() or self._once:
                    await connection.client.flush()
                    await self._report.tick(connection, binding, self._in_thread)

    async def _wait_out(self, error: BaseException) -> None:
        seconds = self._pause.next()
        self._report.outage(error)
        await within(seconds, self._stop)

    async def _unless_stopped(
        self, work: Awaitable[T], *others: Coroutine[Any, Any, Any]
    ) -> T | None:
        """The result of `work`; None if the subscriber is stopped first."""
        result: list[T] = []

        async def finish() -> None:
            result.append(await work)

        await first_of(finish(), self._stop.wait(), *others)
        return result[0] if result else None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        def fresh() -> T:
            # Each connection is asked for a sign of life, which is a query: not in mid-work.
            if time.monotonic() - self._worked_at > DOUBTFUL_SECONDS:
                close_old_connections()
            self._worked_at = 0.0
            result = work()
            self._worked_at = time.monotonic()
            return result

        return await asyncio.get_running_loop().run_in_executor(self._thread, fresh)


async def _still_working(hand: Hand, puller: Puller) -> None:
    """Keep the broker from delivering again what is in hand, whatever else goes on."""
    while True:
        await asyncio.sleep(ACK_WAIT_SECONDS / 4)
        await hand.still_working(puller.waiting())
