"""Group commit: what many callers append to a stream, in one transaction."""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice

from django.db import DatabaseError, OperationalError
from django.db.backends.utils import CursorWrapper

from eventstore import metrics, statements
from eventstore.client.appending import AggregateTip, Plan, plan
from eventstore.client.errors import EventStoreError, UnknownStream
from eventstore.client.events import StreamHead
from eventstore.client.port import Append, Appended
from eventstore.commits import Commits
from eventstore.transactions import LogDatabase

MAX_TIPS = 10_000

logger = logging.getLogger(__name__)

Outcomes = Sequence[Appended | EventStoreError]


class StreamCommitter:
    """Commits appends to one stream; to be called by one thread at a time.

    It remembers where the head and the aggregates were after its last commit. While nobody else
    appends to the stream, a batch is decided on that and is a single statement, which takes effect
    only if the head is still there. Otherwise, and for what would be refused, everything is read
    under the head's lock.

    Args:
        aggregate_events: that an aggregate may have.
    """

    def __init__(
        self, stream: str, database: LogDatabase, commits: Commits, *, aggregate_events: int
    ) -> None:
        self._stream = stream
        self._database = database
        self._commits = commits
        self._aggregate_events = aggregate_events
        self._head: StreamHead | None = None
        # The last used ones, the oldest first.
        self._tips: OrderedDict[str, AggregateTip] = OrderedDict()

    def commit(self, groups: Sequence[Sequence[Append]]) -> list[Outcomes]:
        """The outcomes of each group's appends, which are valid and of this stream.

        Raises:
            Unavailable, UnknownStream.
        """
        together = [append for group in groups for append in group]
        try:
            decided = self._commit(together)
        except DatabaseError as error:
            # The database refuses something in it: find out whose it is.
            if len(groups) > 1:
                return [self.commit([group])[0] for group in groups]
            logger.exception("the database refuses an append to %s", self._stream, exc_info=error)
            return [[EventStoreError("the database refuses the append")] * len(together)]
        if decided.events:
            self._commits.announce(decided.events)
        outcomes = iter(decided.outcomes)
        return [list(islice(outcomes, len(group))) for group in groups]

    def _commit(self, appends: Sequence[Append]) -> Plan:
        decided = self._at_remembered_head(appends)
        if decided is None:
            decide = partial(
                _decide, stream=self._stream, appends=appends, most=self._aggregate_events
            )
            before, decided = self._database.commit(decide)
            if before != self._head:
                self._tips.clear()
                self._look_back(before)
        self._head = decided.head
        self._remember(decided.tips)
        return decided

    def _at_remembered_head(self, appends: Sequence[Append]) -> Plan | None:
        """What was decided and committed without a read; None if that could not be done."""
        head, tips = self._head, self._remembered_tips(appends)
        if head is None or tips is None:
            return None
        decided = plan(
            appends,
            stored={},
            tips=tips,
            head=head,
            now=datetime.now(UTC),
            most=self._aggregate_events,
        )
        if any(isinstance(outcome, EventStoreError) for outcome in decided.outcomes):
            return None
        append = partial(
            statements.append_at_head, before=head, after=decided.head, events=decided.events
        )
        return decided if self._database.try_once(append) else None

    def _look_back(self, found: StreamHead) -> None:
        """Say so if events that this process knows to be committed are not in the log any more."""
        last = self._head
        if last is None or last.log_id != found.log_id or last.position < found.position:
            return
        metrics.WENT_BACK.labels(self._stream).inc()
        logger.error(
            "%s: the log has lost events that were committed: its head was at %d, then it was "
            "found at %d%s. Was the database failed over or restored? Bring the right one back, "
            "or run `manage.py recover_log`",
            *(self._stream, last.position, found.position),
            " with another event there" if last.position == found.position else "",
        )

    def _remembered_tips(self, appends: Sequence[Append]) -> dict[str, AggregateTip] | None:
        """The tips of the aggregates that have begun; None if one is not remembered."""
        tips: dict[str, AggregateTip] = {}
        beginning: set[str] = set()
        for append in appends:
            aggregate_id = append.events[0].aggregate_id
            if tip := self._tips.get(aggregate_id):
                tips[aggregate_id] = tip
            elif append.expected_version == 0:
                beginning.add(aggregate_id)
            elif aggregate_id not in beginning:
                return None
        return tips

    def _remember(self, tips: Mapping[str, AggregateTip]) -> None:
        for aggregate_id, tip in tips.items():
            self._tips[aggregate_id] = tip
            self._tips.move_to_end(aggregate_id)
        while len(self._tips) > MAX_TIPS:
            self._tips.popitem(last=False)


def _decide(
    cursor: CursorWrapper, stream: str, appends: Sequence[Append], most: int
) -> tuple[StreamHead, Plan]:
    """Decide and store appends; the head's lock comes before every read. Also the head before."""
    head = statements.head(cursor, stream, lock=True)
    if head is None:
        raise UnknownStream
    events = [event for append in appends for event in append.events]
    decided = plan(
        appends,
        stored=statements.stored_under(cursor, events),
        tips=statements.tips(cursor, {event.aggregate_id for event in events}),
        head=head,
        now=datetime.now(UTC),
        most=most,
    )
    if decided.events:
        statements.insert(cursor, decided.events)
        if not statements.advance(cursor, head, decided.head):
            raise OperationalError("the head row moved under its lock")
    return head, decided
