"""A log whose database came back older than what others have seen of it: whether that is so, and
how it goes on, either with what NATS still has of its end or under a new id without it.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

from django.db.backends.utils import CursorWrapper

from eventstore import statements
from eventstore.backup.importing import LogMoved
from eventstore.backup.stream_copy import Extent
from eventstore.client.appending import plan
from eventstore.client.errors import EventStoreError
from eventstore.client.events import Event, NewEvent, StreamHead, to_json
from eventstore.client.port import Append, EventStore
from eventstore.client.validation import OWN_PREFIX
from eventstore.transactions import LogDatabase

LOG_TYPE = "log"
RECOVERED = "log-recovered"
# Reactions to what was recorded so shortly before the end are made again, in case their events
# were lost before anybody saw them.
MARGIN = timedelta(hours=1)
_RENAME = "UPDATE eventstore_stream SET log_id = %s WHERE name = %s AND log_id = %s"
_FIRSTS = """
SELECT min(position) FROM eventstore_event
WHERE aggregate_id = ANY(%s) AND version = 1 AND stream = %s
"""
_SINCE = """
SELECT position FROM eventstore_event
WHERE stream = %s AND recorded_at >= %s ORDER BY recorded_at LIMIT 1
"""


@dataclass(frozen=True)
class Follower:
    """How far a subscription says that it has followed which log."""

    name: str
    log_id: UUID
    position: int


@dataclass(frozen=True)
class Nothing:
    """Log, stream and subscriptions agree, or the publisher sees to it alone."""


@dataclass(frozen=True)
class Foreign:
    """Something belongs to a log that is not known to be this one; in words for the operator."""

    reason: str


@dataclass(frozen=True)
class Ahead:
    """Others have seen more of the log, whose ids so far are `before`, than it has.

    `kept` is the position up to which it is what they saw.
    """

    before: frozenset[UUID]
    kept: int


@dataclass(frozen=True)
class Unfinished:
    """A recovery was interrupted: the log goes on, but not all of the others know."""

    before: frozenset[UUID]
    kept: int


Situation = Nothing | Foreign | Ahead | Unfinished


@dataclass(frozen=True)
class Recovery:
    """What the log itself tells of a recovery."""

    before: frozenset[UUID]
    log_id: UUID
    kept: int


def assess(
    head: StreamHead,
    past: Sequence[Recovery],
    copy: Extent | None,
    followers: Collection[Follower],
) -> Situation:
    """What there is to recover, from how far everybody is.

    Args:
        past: the recoveries that the log tells of.
        copy: what NATS has of the log, if anything.
        followers: all subscriptions, of this stream or of a log that is not known.
    """
    earlier = frozenset(id_ for recovery in past for id_ in recovery.before)
    ours = earlier | {head.log_id}
    newer = frozenset[UUID]()
    if copy is not None and copy.log_id not in map(str, ours):
        if copy.agreed == 0 or not _is_uuid(copy.log_id):
            return Foreign(
                f"the NATS stream is of log {copy.log_id or '(none named)'}, {_not(head)}"
            )
        newer = frozenset({UUID(copy.log_id)})
    for follower in followers:
        if follower.log_id not in ours | newer:
            return Foreign(f"{follower.name} has followed log {follower.log_id}, {_not(head)}")
    beyond = any(
        follower.position > head.position
        for follower in followers
        if follower.log_id == head.log_id
    )
    surplus = copy is not None and copy.ahead and copy.log_id == str(head.log_id)
    if newer or beyond or surplus:
        return Ahead(frozenset({head.log_id}) | newer, _kept(head, copy))
    stale = copy is not None and copy.log_id != str(head.log_id)
    if stale or any(follower.log_id != head.log_id for follower in followers):
        return Unfinished(earlier, past[-1].kept)
    return Nothing()


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _not(head: StreamHead) -> str:
    return f"which is not known to be this one, {head.log_id} at {head.position}"


def _kept(head: StreamHead, copy: Extent | None) -> int:
    if copy is None or copy.agreed == min(copy.last, head.position):
        return head.position
    return copy.agreed


def past_recoveries(store: EventStore, stream: str) -> list[Recovery]:
    """The recoveries that the log tells of, oldest first."""
    return [
        Recovery(
            before=frozenset(map(UUID, event.payload["before"])),
            log_id=UUID(event.payload["log_id"]),
            kept=int(event.payload["kept"]),
        )
        for event in store.read_aggregate(_aggregate(stream))
        if event.event_type == RECOVERED
    ]


def go_on(
    database: LogDatabase, head: StreamHead, before: Collection[UUID], kept: int
) -> StreamHead:
    """Give the log a new id, and have it tell so in an event; the head after that.

    Args:
        head: as it was looked at.

    Raises:
        LogMoved: it is no longer so; nothing was done.
        Unavailable: the database is away.
    """
    new_id = uuid4()
    event = NewEvent(
        event_id=uuid4(),
        event_type=RECOVERED,
        aggregate_id=_aggregate(head.stream),
        aggregate_type=LOG_TYPE,
        data=to_json(
            {
                "log_id": str(new_id),
                "before": sorted(map(str, before)),
                "kept": kept,
                "head": head.position,
            }
        ),
        metadata=to_json({"actor": "recover_log", "schema_version": 1}),
        stream=head.stream,
    )
    return database.commit(partial(_rename, head=head, event=event, new_id=new_id))


def _rename(cursor: CursorWrapper, head: StreamHead, event: NewEvent, new_id: UUID) -> StreamHead:
    now = statements.head(cursor, head.stream, lock=True)
    if now is not None and now.log_id == new_id:
        return now  # the commit before got through, its answer did not
    if now != head:
        raise LogMoved
    decided = plan(
        [Append(events=[event])],
        stored={},
        tips=statements.tips(cursor, [event.aggregate_id]),
        head=head,
        now=datetime.now(UTC),
    )
    (outcome,) = decided.outcomes
    if isinstance(outcome, EventStoreError):
        raise outcome  # without the event nobody could tell that the new id is this log's
    statements.insert(cursor, decided.events)
    statements.advance(cursor, head, decided.head)
    cursor.execute(_RENAME, [new_id, head.stream, head.log_id])
    return replace(decided.head, log_id=new_id)


def take_id(database: LogDatabase, head: StreamHead, log_id: UUID) -> StreamHead:
    """Give the log the id of a log that it has become the whole of; the head after that."""
    database.commit(partial(_rename_only, head=head, log_id=log_id))
    return replace(head, log_id=log_id)


def lost(database: LogDatabase, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these events the log does not have."""
    return set(ids) - database.read(partial(statements.known, ids=ids))


def first_position(database: LogDatabase, stream: str, aggregate_ids: Sequence[str]) -> int | None:
    """Where the oldest of these aggregates begins; None if the log has none of them."""
    return database.read(partial(_one, sql=_FIRSTS, parameters=[list(aggregate_ids), stream]))


def margin_position(database: LogDatabase, stream: str, last: Event) -> int:
    """The position of what was recorded MARGIN before `last`, or soon after that."""
    since = last.recorded_at - MARGIN
    found = database.read(partial(_one, sql=_SINCE, parameters=[stream, since]))
    return found or last.position


def batches(events: Iterator[Event], size: int = 100) -> Iterator[list[Event]]:
    """The events in lists of so many."""
    batch: list[Event] = []
    for event in events:
        batch.append(event)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _rename_only(cursor: CursorWrapper, head: StreamHead, log_id: UUID) -> None:
    statements.head(cursor, head.stream, lock=True)
    cursor.execute(_RENAME, [log_id, head.stream, head.log_id])


def _one(cursor: CursorWrapper, sql: str, parameters: Sequence[object]) -> int | None:
    cursor.execute(sql, parameters)
    row = cursor.fetchone()
    return row[0] if row else None


def _aggregate(stream: str) -> str:
    return f"{OWN_PREFIX}{stream}"
