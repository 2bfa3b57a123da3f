"""The JetStream stream as a copy of the log, read by commands, a question at a time."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from nats.aio.msg import Msg

from eventstore.client.broker import Connection
from eventstore.client.events import StreamHead
from eventstore.publishing import jetstream
from eventstore.publishing.agreement import Found

T = TypeVar("T")
Ids = Callable[[int, int], dict[int, UUID]]

PAGE = 500
# With their payloads, each 256 KiB at worst.
MESSAGES = 100
# A stream of a log that is not known to be ours is looked at so far back for anything in common.
STRANGER_PAGES = 20


@dataclass(frozen=True)
class Extent:
    """How the stream and a log compare.

    Args:
        log_id: that the stream bears; empty if it names none.
        last: the stream's last position.
        agreed: up to here both have the same events, as far as the stream tells: it may have kept
            only its last ones. 0 if they have nothing in common.
        ahead: beyond that the stream has events of the log that it bears the id of.
    """

    log_id: str
    last: int
    agreed: int
    ahead: bool


class StreamCopy:
    """One stream, asked one question at a time on a connection of its own."""

    def __init__(self, connection: Connection, runner: asyncio.Runner, stream: str) -> None:
        self.stream = stream
        self._connection = connection
        self._runner = runner

    def compare(self, head: StreamHead, ids: Ids, known: Sequence[str]) -> Extent | None:
        """How far stream and log are the same; None if there is no stream.

        Args:
            ids: the log's event ids at the positions from first to last.
            known: the ids that the log has and had.
        """
        info = self._ask(jetstream.find(self._connection, self.stream))
        if info is None:
            return None
        found = jetstream.figures(info)
        pages = None if found.log_id in known else STRANGER_PAGES
        agreed = self._agreed(found, head, ids, pages)
        return Extent(found.log_id, found.last, agreed, self._is_ahead(found, agreed))

    def messages(self, first: int, last: int) -> Iterator[Msg]:
        """The messages of these positions, as far as they are there; a page of them in memory."""
        info = self._ask(jetstream.find(self._connection, self.stream))
        first = max(first, info.state.first_seq if info else last + 1)
        while first <= last:
            upto = min(first + MESSAGES - 1, last)
            yield from self._ask(jetstream.messages(self._connection, self.stream, first, upto))
            first = upto + 1

    def busy_consumers(self) -> list[str]:
        """The durable consumers for which a process waits at this moment."""
        found = self._ask(self._connection.js.consumers_info(self.stream))
        return sorted(each.name for each in found if each.config.durable_name and each.num_waiting)

    def drop(self) -> None:
        """Delete the stream."""
        info = self._ask(jetstream.find(self._connection, self.stream))
        if info is not None:
            self._ask(jetstream.drop(self._connection, info))

    def _agreed(self, found: Found, head: StreamHead, ids: Ids, pages: int | None) -> int:
        """Looked for from where the shorter one ends, back to a page without a difference."""
        bottom = max(found.first, 1)
        agreed = last = min(found.last, head.position)
        if last < bottom:
            # NATS has none of the log's positions: that contradicts nothing, and proves nothing.
            return agreed if pages is None else 0
        while last >= bottom:
            if pages == 0:
                return 0
            first = max(bottom, last - PAGE + 1)
            log = ids(first, last)
            theirs = self._ask(jetstream.identities(self._connection, self.stream, first, last))
            same = {m.sequence for m in theirs if m.event_id == str(log.get(m.sequence))}
            wrong = [position for position in range(first, last + 1) if position not in same]
            if not wrong:
                break
            agreed, last = wrong[0] - 1, first - 1
            pages = None if pages is None else pages - 1
        # Where all that NATS has is different, nobody knows since when.
        return agreed if agreed >= bottom else 0

    def _is_ahead(self, found: Found, agreed: int) -> bool:
        """Whether any message after `agreed` is genuine; strangers are the publisher's business."""
        source = f"/eventstore/{self.stream}/{found.log_id}"
        first = max(agreed + 1, found.first)
        return any(
            (message.headers or {}).get("ce-source") == source
            for message in self.messages(first, min(found.last, first + MESSAGES - 1))
        )

    def _ask(self, question: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(question)


@contextmanager
def stream_copy(url: str, stream: str) -> Iterator[StreamCopy]:
    """The stream on the server at the URL; raises BrokerAway."""
    connection = Connection("orders recovery")
    with asyncio.Runner() as runner:
        runner.run(connection.open(url))
        try:
            yield StreamCopy(connection, runner, stream)
        finally:
            runner.run(connection.close())
