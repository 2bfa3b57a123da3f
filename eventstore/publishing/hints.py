"""Hints that a log has grown, over core NATS: best effort, to wake who else would have to poll."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable

import nats.errors
from nats.aio.msg import Msg

from eventstore.client.broker import Backoff, BrokerAway, Connection, connected
from eventstore.client.subscribing.racing import first_of, raise_if_cancelled

logger = logging.getLogger(__name__)

SUBJECT = "eventstore.committed"
STOP_SECONDS = 5.0
# Between hints. Who hears one reads all that is there by then.
REST_SECONDS = 0.01


def read_hint(message: Msg) -> tuple[str, int]:
    """The stream and position of a hint; position 0 if it doesn't name one."""
    text = message.data[:20]
    return message.subject.rpartition(".")[2], int(text) if text.isdigit() else 0


class CommitHints:
    """Tells other processes of commits, and hears of theirs, in a thread of its own.

    Args:
        nats_url: of a NATS user who may publish and subscribe to the hints' subjects.
        on_hint: called with (stream, position) for the hints of others, in the thread of the
            hints: it must not block.
    """

    def __init__(
        self, nats_url: str, on_hint: Callable[[str, int], None] = lambda stream, position: None
    ) -> None:
        self._nats_url = nats_url
        self._on_hint = on_hint
        self._latest: dict[str, int] = {}
        self._mutex = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Event | None = None
        self._stop: asyncio.Event | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._main, name="commit-hints", daemon=True)

    def start(self) -> None:
        """Connect in the background; returns at once."""
        self._thread.start()

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """End the thread, `timeout` seconds at most."""
        self._stopping = True
        self._set(self._stop)
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def hint(self, stream: str, position: int) -> None:
        """Say that `stream` has reached `position`; from any thread, never blocks or fails.

        Positions told faster than they are sent become one hint.
        """
        with self._mutex:
            waiting = bool(self._latest)
            self._latest[stream] = position
        if not waiting:
            self._set(self._news)

    def _set(self, event: asyncio.Event | None) -> None:
        with contextlib.suppress(RuntimeError):
            if self._loop is not None and event is not None:
                self._loop.call_soon_threadsafe(event.set)

    def _main(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._run())

    async def _run(self) -> None:
        self._news, self._stop = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if not self._stopping:
            await first_of(self._stop.wait(), self._sessions())

    async def _sessions(self) -> None:
        pause = Backoff()
        while True:
            raise_if_cancelled()
            try:
                async with connected(self._nats_url, "orders hints") as connection:
                    pause.reset()
                    await first_of(connection.raise_when_lost(), self._session(connection))
            except (BrokerAway, nats.errors.Error, OSError, TimeoutError) as error:
                logger.debug("no hints for now: %s", error)
            except Exception:
                logger.exception("hints failed and start again")
            await asyncio.sleep(pause.next())

    async def _session(self, connection: Connection) -> None:
        assert self._news is not None
        await connection.client.subscribe(f"{SUBJECT}.*", cb=self._on_message)
        while True:
            self._news.clear()
            with self._mutex:
                latest, self._latest = self._latest, {}
            for stream, position in latest.items():
                await connection.client.publish(f"{SUBJECT}.{stream}", str(position).encode())
            await asyncio.sleep(REST_SECONDS)
            await self._news.wait()

    async def _on_message(self, message: Msg) -> None:
        self._on_hint(*read_hint(message))
