"""One stream's way from the log to JetStream: agree on where it stands, publish, agree again."""

import asyncio
import logging
import random
import time
from dataclasses import dataclass
from typing import assert_never
from uuid import UUID

import nats.js.errors
from nats.js.api import StreamInfo

from eventstore.client.broker import Backoff, BrokerAway, Connection
from eventstore.client.events import StreamHead
from eventstore.client.subscribing.racing import raise_if_cancelled, within
from eventstore.publishing import jetstream
from eventstore.publishing.agreement import (
    Compare,
    Create,
    Refill,
    Refuse,
    Resume,
    compare,
    enough,
    first_wanted,
    judge,
)
from eventstore.publishing.facts import LogReplaced
from eventstore.publishing.pages import PageReader
from eventstore.publishing.progress import WORTH_TELLING, Progress
from eventstore.publishing.sending import NotAcknowledged, sending
from eventstore.publishing.stuck import Patience, broker_stores, remove_probe
from eventstore.publishing.wire import Fenced, NotAccepted

logger = logging.getLogger("eventstore.publisher")

POLL_SECONDS = 0.25
# How often an idle publisher looks whether somebody touched the stream.
WATCH_SECONDS = 5.0
STORE_PAUSE_SECONDS = 5.0


@dataclass(frozen=True)
class StreamStatus:
    """What a health page shows of a stream's publishing.

    `published` and `head` are positions, the latter as last heard; `state` is for people.
    """

    stream: str
    state: str
    published: int
    head: int


class Refused(Exception):
    """The stream is not this log's to fill; a person has to look."""


class Feed:
    """Keeps one stream equal to its log, for as long as a connection lasts."""

    def __init__(
        self, pages: PageReader, *, replicas: int, keep: int, refused_seconds: float
    ) -> None:
        self.stream = pages.stream
        self.published = 0
        # Of the event at `published`, so that the log is seen to go on from there; empty: unknown.
        self._published_id = ""
        self.head = 0
        self.state = "waiting for NATS"
        self.news = asyncio.Event()
        self._watched_at = 0.0
        self._patience = Patience()
        self.handover = pages.handover
        self._pages = pages
        self._replicas = replicas
        self._keep = keep
        self._refused_seconds = refused_seconds

    def status(self) -> StreamStatus:
        """Where it stands now."""
        return StreamStatus(self.stream, self.state, self.published, max(self.head, self.published))

    def hear(self, position: int) -> None:
        """Somebody says that the log has reached `position`."""
        self.head = max(self.head, position)
        self.news.set()

    def tell(self, level: int, state: str) -> None:
        """Take on a state; logged once, however often it is told."""
        if state != self.state:
            self.state = state
            logger.log(level, "%s: %s", self.stream, state)

    async def run(self, connection: Connection) -> None:
        """Publish until the connection is lost (what then is raised) or the task cancelled."""
        self.news = asyncio.Event()  # One of this loop: the last one's may have failed.
        pause = Backoff(longest=STORE_PAUSE_SECONDS)
        fenced = False
        await remove_probe(connection, self.stream)
        while True:
            raise_if_cancelled()
            before = self.published
            try:
                mended = await self._agree(connection)
                if fenced and not mended:
                    fenced = False
                    await self._stand_by(connection)
                elif self._patience.ended(self.published):
                    await self._make_anew(connection)
                else:
                    await self._publish(connection)
            except Fenced:
                fenced = True
            except (NotAccepted, nats.js.errors.APIError) as problem:
                self.tell(logging.WARNING, f"not published, trying again: {problem}")
                await asyncio.sleep(pause.next())
            except Refused as refusal:
                self.tell(logging.ERROR, f"refused: {refusal}")
                await asyncio.sleep(self._refused_seconds)
            except NotAcknowledged:
                if not connection.forbids(self.stream):
                    self._patience.unanswered(self.published)
                raise
            except BrokerAway:
                raise
            except LogReplaced as problem:
                self.tell(logging.ERROR, f"comparing the stream with the log again: {problem}")
                await asyncio.sleep(pause.next())
            except self._pages.errors as problem:
                self.tell(logging.WARNING, f"the log can't be read, trying again: {problem}")
                await asyncio.sleep(pause.next())
            if self.published > before:
                pause.reset()

    async def _agree(self, connection: Connection) -> bool:
        """Compare stream and log until `published` is where they agree; whether it took mending."""
        mended = False
        while True:
            raise_if_cancelled()
            # The stream first: whatever is published by then is in the log that is read after.
            info = await jetstream.find(connection, self.stream)
            head = await self._pages.head()
            self.head = max(self.head, head.position)
            found = jetstream.figures(info) if info else None
            verdict, last_id = judge(head, found, self._keep), ""
            if isinstance(verdict, Compare):
                tail = await jetstream.identities(
                    connection, self.stream, verdict.first, verdict.last
                )
                if not tail or tail[-1].sequence < verdict.last:
                    await asyncio.sleep(POLL_SECONDS)
                    continue
                log = await self._pages.ids(verdict.first, verdict.last)
                verdict = compare(head, tail, log)
                if isinstance(verdict, Resume):
                    assert found is not None
                    last_id = str(log[verdict.position])
                    verdict = enough(head, found, self._keep)
            match verdict:
                case Resume(position):
                    assert info is not None
                    await jetstream.repair_settings(connection, info, self._replicas, self._keep)
                    self.published, self._published_id = position, last_id
                    return mended
                case Refuse(reason):
                    raise Refused(reason)
                case Create():
                    logger.info("%s: creating the stream", self.stream)
                    await self._create(connection, head)
                case Refill():
                    assert info is not None
                    await self._refill(connection, head, info, verdict)
                case _:
                    assert_never(verdict)
            mended = True

    async def _create(
        self, connection: Connection, head: StreamHead, refilled_from: int | None = None
    ) -> None:
        await jetstream.create(
            connection,
            self.stream,
            head.log_id,
            replicas=self._replicas,
            first=first_wanted(head, self._keep),
            keep=self._keep,
            refilled_from=refilled_from,
        )

    async def _refill(
        self, connection: Connection, head: StreamHead, info: StreamInfo, verdict: Refill
    ) -> None:
        logger.warning(
            "%s: the NATS stream differs from the log, %s: deleting it and publishing "
            "the events from %d to %d again",
            *(self.stream, verdict.reason),
            *(first_wanted(head, self._keep), head.position),
        )
        self.published = 0
        if await jetstream.drop(connection, info):
            await self._create(connection, head, refilled_from=verdict.wrong_from)

    async def _make_anew(self, connection: Connection) -> None:
        """The stream acknowledges nothing: it will, if the broker stores what others send.

        Its messages are right, and all of them are in the log: nothing is lost with it.
        """
        if not await broker_stores(connection, self.stream, self._replicas):
            self.tell(logging.WARNING, "not published, NATS stores nothing: is its disk full?")
            await asyncio.sleep(STORE_PAUSE_SECONDS)
            return
        info, head = await jetstream.find(connection, self.stream), await self._pages.head()
        if info is not None and info.state.last_seq == self.published:
            verdict = Refill("it takes no more events", wrong_from=self.published + 1)
            await self._refill(connection, head, info, verdict)
            self._patience.begin_again()

    async def _publish(self, connection: Connection) -> None:
        """Publish what comes after `published`, then what is committed, without end."""
        progress = Progress(self.stream)
        sent, last_id = self.published, self._published_id
        self._pages.begin()
        head = await self._pages.head()
        async with sending(connection, head) as sender:
            while True:
                raise_if_cancelled()
                self.news.clear()
                if page := await self._pages.after(sent, last_id, self.head):
                    if len(page) >= WORTH_TELLING // 2:
                        await progress.tell(sent, self._pages.head_position)
                    await sender.send(page)
                    sent, last_id = page[-1].position, page[-1].event_id
                    self.head = max(self.head, sent)
                    self.published = sender.published(sent)
                    continue
                await sender.settle()
                self.published = sent
                self.head = max(self.head, sent)
                self._patience.restore()
                progress.caught_up(sent)
                self.tell(logging.INFO, "published up to the head of the log")
                await within(POLL_SECONDS, self.news)
                if time.monotonic() - self._watched_at >= WATCH_SECONDS:
                    self._watched_at = time.monotonic()
                    await self._watch(connection, head.log_id)

    async def _watch(self, connection: Connection, log_id: UUID) -> None:
        """Raises if the stream is not as it was left, or the log another: nothing else tells."""
        info = await jetstream.find(connection, self.stream)
        if info is None:
            raise NotAccepted("the stream was deleted")
        if info.state.last_seq != self.published:
            raise Fenced("somebody else wrote to the stream")
        head = await self._pages.head()
        if head.log_id != log_id or jetstream.figures(info).log_id != str(log_id):
            raise NotAccepted("it is another log, or another log's stream")

    async def _stand_by(self, connection: Connection) -> None:
        """Another publisher is at work: leave it alone until the stream stands still behind."""
        self.tell(logging.INFO, "standing by, another publisher is at work")
        patience = 1.0 + random.uniform(0, 0.5)  # noqa: S311 - so that two don't wake as one
        seen, since = -1, time.monotonic()
        while time.monotonic() - since < patience:
            raise_if_cancelled()
            await asyncio.sleep(POLL_SECONDS)
            info = await jetstream.find(connection, self.stream)
            head = await self._pages.head()
            self.head = max(self.head, head.position)
            if info is None or info.state.last_seq > head.position:
                return
            if info.state.last_seq == head.position or info.state.last_seq != seen:
                since = time.monotonic()
            seen = self.published = info.state.last_seq
        logger.info("%s: taking over at %d", self.stream, seen)
