"""A NATS server as tests look at it and tamper with it, from synchronous code."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from eventstore.client.broker import Connection, connected
from eventstore.publishing.jetstream import find, identities
from orders_site.embedded.nats import EmbeddedNats

T = TypeVar("T")
STREAM = "ORDERS"


@dataclass(frozen=True)
class Stored:
    """A message of the stream."""

    sequence: int
    subject: str
    headers: dict[str, str]
    data: bytes


class Broker:
    """The server of a test."""

    def __init__(self, server: EmbeddedNats) -> None:
        self.server = server
        self.url = server.url("publisher")
        self.subscriber_url = server.url("subscriber")

    def ask(self, question: Callable[[Connection], Awaitable[T]], url: str = "") -> T:
        """The answer to a question that is asked on a connection of its own."""

        async def asked() -> T:
            async with connected(url or self.url, "test") as connection:
                return await question(connection)

        return asyncio.run(asked())

    def js(self, question: Callable[[JetStreamContext], Awaitable[T]]) -> T:
        """The same of JetStream's API."""
        return self.ask(lambda connection: question(connection.js))

    def last(self) -> int:
        """The last sequence of the stream; -1 without one."""
        info = self.ask(lambda connection: find(connection, STREAM))
        return info.state.last_seq if info else -1

    def messages(self) -> list[Stored]:
        """All messages of the stream."""

        async def read(js: JetStreamContext) -> list[Stored]:
            info = await js.stream_info(STREAM)
            found = []
            for sequence in range(1, info.state.last_seq + 1):
                raw = await js.get_msg(STREAM, sequence)
                found.append(
                    Stored(sequence, raw.subject or "", raw.headers or {}, raw.data or b"")
                )
            return found

        return self.js(read)

    def ids(self, first: int = 1) -> list[str]:
        """The event ids of the stream's messages from a sequence on."""
        last = self.last()
        if last < 1:
            return []
        try:
            found = self.ask(lambda connection: identities(connection, STREAM, first, last))
        except NotFoundError:
            return []
        return [each.event_id for each in found]

    def publish(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> Any:
        """Publish as nobody should."""
        return self.js(lambda js: js.publish(subject, data, headers=headers))

    def kill(self) -> None:
        """End the server as kill -9 does."""
        child = self.server.process.pid()
        assert child is not None
        os.kill(child, signal.SIGKILL)
        self.server.process.stop()

    def wipe(self) -> None:
        """Kill the server, lose all that it stored, start it again."""
        self.kill()
        shutil.rmtree(self.server.home)
        self.server.start()

    def pause(self) -> None:
        """Freeze the server: connections stay open and silent."""
        self._signal(signal.SIGSTOP)

    def unpause(self) -> None:
        """Let the frozen server go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        subprocess.run(["kill", f"-{number}", str(self.server.process.pid())], check=True)
