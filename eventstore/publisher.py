"""The publisher: every event of the log, in order and once, to JetStream (see feed.py)."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import nats.errors
from django.db import connections
from nats.aio.msg import Msg

from eventstore.client.broker import Backoff, BrokerAway, Connection, connected
from eventstore.client.events import Event
from eventstore.client.port import EventStore
from eventstore.client.subscribing.racing import first_of, raise_if_cancelled
from eventstore.publishing.feed import Feed, StreamStatus
from eventstore.publishing.hints import SUBJECT, read_hint
from eventstore.publishing.pages import PageReader

logger = logging.getLogger(__name__)

REFUSED_SECONDS = 30.0
CRASH_PAUSE_SECONDS = 5.0
STOP_SECONDS = 10.0


class Publisher:
    """Publishes streams of a log in a thread of its own.

    Nothing of what it did is stored: where to go on is read off the JetStream stream, so any
    number of publishers may run; the broker lets one through, the others step back.

    Args:
        store: the log; only `read_stream` and `head` are called.
        streams: the names of the streams to publish.
        nats_url: of a NATS user who may publish to them; comma-separated for a cluster.
        replicas: of JetStream streams that have to be made.
        keep: how many of a stream's last events NATS keeps, at least; 0: all. A subscription
            that is further back reads the log.
        refused_seconds: until a stream that was refused is looked at again.
    """

    def __init__(
        self,
        store: EventStore,
        *,
        streams: Sequence[str],
        nats_url: str,
        replicas: int = 1,
        keep: int = 0,
        refused_seconds: float = REFUSED_SECONDS,
    ) -> None:
        self._nats_url = nats_url
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="publisher-log")
        self._feeds = {
            stream: Feed(
                PageReader(store, stream, self._reader),
                replicas=replicas,
                keep=keep,
                refused_seconds=refused_seconds,
            )
            for stream in streams
        }
        self._thread = threading.Thread(target=self._main, name="publisher", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = threading.Event()
        self._stop: asyncio.Event | None = None
        self._away_since: float | None = None

    def start(self) -> None:
        """Begin to publish; returns at once, also when NATS is away."""
        self._thread.start()

    def stop(self, timeout: float = STOP_SECONDS) -> bool:
        """End the thread, `timeout` seconds at most; what is in flight is found again later.

        Whether it ended: a database that is frozen may hold it up.
        """
        self._stopping.set()
        self._call_in_loop(lambda: self._stop.set() if self._stop else None)
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def wake(self, stream: str, position: int) -> None:
        """A commit took `stream` to `position`; from any thread, never blocks."""
        if (feed := self._feeds.get(stream)) is not None:
            self._call_in_loop(lambda: feed.hear(position))

    def offer(self, events: Sequence[Event]) -> None:
        """A commit of this process added these events; from any thread, never blocks."""
        if (feed := self._feeds.get(events[-1].stream)) is not None:
            feed.handover.offer(events)
            self.wake(events[-1].stream, events[-1].position)

    def status(self) -> list[StreamStatus]:
        """Where each stream stands, for health pages; from any thread."""
        return [feed.status() for feed in self._feeds.values()]

    def _call_in_loop(self, callback) -> None:
        # The loop may be closed, or not there yet: then the thread looks for itself.
        with contextlib.suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(callback)

    def _main(self) -> None:
        while not self._stopping.is_set():
            try:
                asyncio.run(self._run())
            except Exception:
                logger.exception("the publisher failed and starts again")
                self._stopping.wait(CRASH_PAUSE_SECONDS)
        with contextlib.suppress(RuntimeError):
            self._reader.submit(connections.close_all)
        self._reader.shutdown(wait=True)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        if not self._stopping.is_set():
            await first_of(self._stop.wait(), self._sessions())

    async def _sessions(self) -> None:
        pause = Backoff()
        while True:
            raise_if_cancelled()
            try:
                async with connected(self._nats_url, "orders publisher") as connection:
                    self._on_connected()
                    pause.reset()
                    await self._session(connection)
            except (BrokerAway, nats.errors.Error, OSError, TimeoutError) as error:
                self._on_away(error)
            await asyncio.sleep(pause.next())

    async def _session(self, connection: Connection) -> None:
        async def on_hint(message: Msg) -> None:
            stream, position = read_hint(message)
            if (feed := self._feeds.get(stream)) is not None:
                feed.hear(position)

        await connection.client.subscribe(f"{SUBJECT}.*", cb=on_hint)
        await first_of(
            connection.raise_when_lost(), *(feed.run(connection) for feed in self._feeds.values())
        )

    def _on_connected(self) -> None:
        if self._away_since is not None:
            logger.info("NATS is back after %.0f s", time.monotonic() - self._away_since)
            self._away_since = None
        for feed in self._feeds.values():
            feed.state = "comparing the stream with the log"

    def _on_away(self, error: Exception) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
            logger.warning("NATS is away, publishing waits for it: %s", error)
        for feed in self._feeds.values():
            feed.state = "waiting for NATS"
