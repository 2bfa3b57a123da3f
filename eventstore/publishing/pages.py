"""Reading the log from asyncio: the store is synchronous, so one thread of its own does it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar
from uuid import UUID

from django.db import Error as DatabaseError
from django.db import close_old_connections

from eventstore.client.errors import EventStoreError, TransientError
from eventstore.client.events import StreamHead
from eventstore.client.notice import Facts, facts_of
from eventstore.client.port import EventStore
from eventstore.publishing.facts import read_facts
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
        self.begin()

    def begin(self) -> None:
        """Begin a walk: what was read before may be of a log that was here once."""
        self._walk = _Walk(self._store, self.stream)
        # The page that is read while its predecessor is published, by its first position.
        self._ahead: tuple[int, Future[list[Facts]]] | None = None

    async def head(self) -> StreamHead:
        """Where the log stands."""
        return await self._call(lambda: self._store.head(self.stream))

    async def head_position(self) -> int:
        """The position of the log's last event."""
        return (await self.head()).position

    async def after(self, position: int, event_id: str = "", heard: int = 0) -> list[Facts]:
        """The next events: at most a page of them, none at the end.

        What this process committed is handed over; the log is asked for the rest, when it is
        `heard` to be further, and now and then.

        Args:
            event_id: of the event at the position, as it was read before; empty: not looked at.

        Raises:
            DamagedLog: the next one is missing though there are later ones.
            LogReplaced: the log has another event at the position by now, or none.
        """
        if fresh := self.handover.take(position, event_id, PAGE_EVENTS):
            return list(map(facts_of, fresh))
        now = time.monotonic()
        at_end = self.handover.newest == position and heard <= position
        if at_end and now - self._looked_at < LOOK_SECONDS:
            return []
        self._looked_at = now
        return await self._read(position + 1, event_id)

    async def _read(self, first: int, before: str) -> list[Facts]:
        page: list[Facts] = []
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == first:
            page = await asyncio.wrap_future(ahead[1])
        # What was the end of the log when it was read ahead need not be it any more.
        page = page or await self._call(partial(self._walk.page, first, before))
        if self._walk.goes_on_at:
            following = self._walk.goes_on_at
            work = partial(_fresh, partial(self._walk.page, following, page[-1].event_id))
            self._ahead = following, self._thread.submit(work)
        return page

    async def ids(self, first: int, last: int) -> dict[int, UUID]:
        """The event ids at the positions from first to last, as far as the log goes."""
        limit = last - first + 1
        return await self._call(
            lambda: {
                event.position: event.event_id
                for event in self._store.read_stream(first, stream=self.stream, limit=limit)
            }
        )

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, _fresh, work)


class _Walk:
    """A walk through the log that goes on from page to page."""

    def __init__(self, store: EventStore, stream: str) -> None:
        self._store = store
        self._stream = stream
        self._events: Iterator[Facts] = iter(())
        # The position that is next, while a page was full; else 0.
        self.goes_on_at = 0

    def page(self, first: int, before: str) -> list[Facts]:
        """The events from the position `first` on, after the one with the id `before`."""
        goes_on = self.goes_on_at == first
        if not goes_on:
            self._events = read_facts(self._store, self._stream, first, before)
        self.goes_on_at = 0  # Whatever happens now: begin anew, unless the page gets full.
        page: list[Facts] = []
        size = 0
        for event in self._events:
            if event.position != first + len(page):
                raise DamagedLog(f"after position {first + len(page) - 1} comes {event.position}")
            page.append(event)
            size += len(event.data)
            if len(page) == PAGE_EVENTS or size >= PAGE_BYTES:
                self.goes_on_at = event.position + 1
                break
        # The end of an old walk may have been the end of the log when that was read, long ago.
        return self.page(first, before) if goes_on and not page else page


def _fresh(work: Callable[[], T]) -> T:
    """Do the work on connections that are not too old for it."""
    close_old_connections()
    return work()
