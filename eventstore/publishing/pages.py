"""Reading the log from asyncio: the store is synchronous, so one thread of its own does it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from uuid import UUID

from django.db import Error as DatabaseError
from django.db import close_old_connections

from eventstore.client.errors import EventStoreError, TransientError
from eventstore.client.events import Event, StreamHead
from eventstore.client.port import EventStore
from eventstore.publishing.handover import Handover

PAGE_EVENTS = 500
# How long the end of what was handed over is believed to be the end of the log.
LOOK_SECONDS = 0.2
PAGE_BYTES = 4 * 1024 * 1024

T = TypeVar("T")


class DamagedLog(Exception):
    """The log has a gap."""


class PageReader:
    """Bounded reads of one stream of the log."""

    errors = (EventStoreError, TransientError, DatabaseError, DamagedLog)

    def __init__(self, store: EventStore, stream: str, thread: ThreadPoolExecutor) -> None:
        self.stream = stream
        self.handover = Handover()
        self._store = store
        self._thread = thread
        self._looked_at = float("-inf")
        # A walk through the log that goes on from page to page, and the position it is at.
        self._walk: Iterator[Event] = iter(())
        self._walk_at = 0

    async def head(self) -> StreamHead:
        """Where the log stands."""
        return await self._call(lambda: self._store.head(self.stream))

    async def head_position(self) -> int:
        """The position of the log's last event."""
        return (await self.head()).position

    async def after(self, position: int, heard: int = 0) -> list[Event]:
        """The next events: at most a page of them, none at the end.

        What this process committed is handed over; the log is asked for the rest, when it is
        `heard` to be further, and now and then.

        Raises:
            DamagedLog: the next one is missing though there are later ones.
        """
        if fresh := self.handover.take(position, PAGE_EVENTS):
            return fresh
        now = time.monotonic()
        at_end = self.handover.newest == position and heard <= position
        if at_end and now - self._looked_at < LOOK_SECONDS:
            return []
        self._looked_at = now
        return await self._call(lambda: self._page(position + 1))

    async def ids(self, first: int, last: int) -> dict[int, UUID]:
        """The event ids at the positions from first to last, as far as the log goes."""
        limit = last - first + 1
        return await self._call(
            lambda: {
                event.position: event.event_id
                for event in self._store.read_stream(first, stream=self.stream, limit=limit)
            }
        )

    def _page(self, first: int) -> list[Event]:
        goes_on = self._walk_at == first
        if not goes_on:
            self._walk = self._store.read_stream(first, stream=self.stream)
        self._walk_at = 0  # Whatever happens now: begin anew, unless the page gets full.
        page: list[Event] = []
        size = 0
        for event in self._walk:
            if event.position != first + len(page):
                raise DamagedLog(f"after position {first + len(page) - 1} comes {event.position}")
            page.append(event)
            size += len(event.data)
            if len(page) == PAGE_EVENTS or size >= PAGE_BYTES:
                self._walk_at = event.position + 1
                break
        # The end of an old walk may have been the end of the log when that was read, long ago.
        return self._page(first) if goes_on and not page else page

    async def _call(self, work: Callable[[], T]) -> T:
        def fresh() -> T:
            close_old_connections()
            return work()

        return await asyncio.get_running_loop().run_in_executor(self._thread, fresh)
