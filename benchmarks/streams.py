"""The streams that a run leaves behind on its NATS."""

import asyncio

from nats.js.errors import NotFoundError

from benchmarks.stack import RIVAL_STREAM
from eventstore.client import DEFAULT_STREAM
from eventstore.client.broker import Connection, connected


async def drop(connection: Connection) -> None:
    """Delete them, with their consumers."""
    for stream in (DEFAULT_STREAM, RIVAL_STREAM):
        try:
            await connection.js.delete_stream(stream)
        except NotFoundError:
            continue


def drop_all(nats_url: str) -> None:
    """The same, on a connection of its own."""

    async def dropped() -> None:
        async with connected(nats_url, "benchmark") as connection:
            await drop(connection)

    asyncio.run(dropped())
