"""A connection to NATS, as publisher and subscribers use it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable
from typing import NoReturn

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

from eventstore.client.errors import TransientError
from eventstore.client.subscribing.racing import within

logger = logging.getLogger(__name__)

PING_SECONDS = 5
CONNECT_TIMEOUT_SECONDS = 2
REQUEST_TIMEOUT_SECONDS = 5.0
CLOSE_TIMEOUT_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 2.0
# Complaints about permissions that a connection remembers.
MOST_FORBIDDEN = 20


class BrokerAway(TransientError):
    """NATS can't be reached."""


class _Client(Client):
    """nats-py reads nothing more, and says nothing, after a message that it can't decode."""

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        subject = subject.decode(errors="replace").encode()
        try:
            await super()._process_msg(sid, subject, reply, data, headers)
        except (ValueError, IndexError):
            await super()._process_msg(sid, subject, reply, data, b"")


class Connection:
    """One session with a NATS server: when it is lost it stays lost, and a new one is opened.

    nats-py would reconnect by itself, but it keeps what is published meanwhile in a buffer and
    calls that success; here a lost connection is an error at once, and everybody checks anew.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.client: Client = _Client()
        self._lost = asyncio.Event()
        self._forbidden: list[str] = []

    @property
    def js(self) -> JetStreamContext:
        """JetStream's API on this connection."""
        return self.client.jetstream(timeout=REQUEST_TIMEOUT_SECONDS)

    async def open(self, url: str) -> None:
        """Connect to one of the comma-separated URLs; raises BrokerAway."""
        try:
            await self.client.connect(
                [part.strip() for part in url.split(",")],
                name=self.name,
                error_cb=self._on_error,
                closed_cb=self._on_closed,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                ping_interval=PING_SECONDS,
                # Nobody needs to be told by NATS what it told NATS.
                no_echo=True,
            )
        except (OSError, nats.errors.Error, TimeoutError, ValueError) as error:
            raise BrokerAway(str(error) or type(error).__name__) from error

    async def write(self, frames: Iterable[bytes]) -> None:
        """Send frames of NATS' protocol in one write, after what the client has to send yet.

        nats-py has no public way to send what is already encoded. This is what its own flusher
        does, without the way through its queue and task; tests hold this to it.

        Raises:
            nats.errors.ConnectionClosedError, OSError: the connection is lost.
        """
        client, transport = self.client, self.client._transport
        if transport is None or not client.is_connected:
            raise nats.errors.ConnectionClosedError
        due, client._pending, client._pending_data_size = client._pending, [], 0
        transport.writelines([*due, *frames])
        await transport.drain()

    async def close(self) -> None:
        """Flush and close; a peer that takes nothing any more is not waited for."""
        transport = self.client._transport
        writer = getattr(transport, "_io_writer", None)
        if writer is not None and self._lost.is_set():
            writer.transport.abort()
        reading = self.client._reading_task
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self.client.close()
        except (OSError, nats.errors.Error, TimeoutError, AttributeError):
            if writer is not None:
                writer.transport.abort()
        if reading is not None and reading.done() and not reading.cancelled():
            # How a lost connection ends nats-py's reading is no news, and need not be logged.
            reading.exception()

    async def raise_when_lost(self) -> NoReturn:
        """Wait until the connection is lost, and raise BrokerAway."""
        # nats-py forgets to say so when what it still had to send fails while it closes.
        while not (await within(PING_SECONDS, self._lost) or self.client.is_closed):
            pass
        raise BrokerAway("the connection was lost")

    def forbids(self, stream: str) -> bool:
        """Whether the broker said that this user must not publish some subject of the stream.

        It does not answer what was published then.
        """
        # nats-py makes small letters of it.
        return any(f'publish to "{stream.lower()}.' in text for text in self._forbidden)

    async def _on_closed(self) -> None:
        self._lost.set()

    async def _on_error(self, error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            logger.error("%s: NATS refuses: %s", self.name, error)
            self._forbidden = [*self._forbidden[-MOST_FORBIDDEN:], str(error).lower()]
        else:
            logger.debug("%s: NATS: %s", self.name, error or type(error).__name__)


@contextlib.asynccontextmanager
async def connected(url: str, name: str) -> AsyncIterator[Connection]:
    """An open connection, closed at the end; raises BrokerAway if there is no server."""
    connection = Connection(name)
    try:
        await connection.open(url)
        yield connection
    finally:
        await connection.close()


class Backoff:
    """Pauses that double from the first to the longest, in seconds."""

    def __init__(
        self, first: float = FIRST_PAUSE_SECONDS, longest: float = LONGEST_PAUSE_SECONDS
    ) -> None:
        self.first = first
        self.longest = longest
        self._next = first

    @property
    def upcoming(self) -> float:
        """How long the next pause will be."""
        return self._next

    def next(self) -> float:
        """How long to pause now."""
        pause, self._next = self._next, min(self._next * 2, self.longest)
        return pause

    def reset(self) -> None:
        """Start again with the first pause."""
        self._next = self.first
