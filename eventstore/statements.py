"""The SQL of the log: plain statements that PostgreSQL and CockroachDB understand alike."""

from collections.abc import Collection, Sequence
from datetime import UTC
from typing import Any
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from eventstore.client import arrays
from eventstore.client.appending import AggregateTip
from eventstore.client.events import Event, NewEvent, StreamHead
from eventstore.client.hashing import GENESIS

COLUMNS = (
    "event_id, event_type, aggregate_id, aggregate_type, data, metadata, stream, "
    "version, position, recorded_at, hash"
)
_HEAD = "SELECT name, log_id, position, hash FROM eventstore_stream WHERE name = %s"
_CREATE = (
    "INSERT INTO eventstore_stream (name, log_id, position, hash) VALUES (%s, %s, 0, %s) "
    "ON CONFLICT (name) DO NOTHING"
)
_ADVANCE = "UPDATE eventstore_stream SET position = %s, hash = %s WHERE name = %s AND position = %s"
_UNDER_ID = f"SELECT {COLUMNS} FROM eventstore_event WHERE event_id = %s"  # noqa: S608
_KNOWN = "SELECT event_id FROM eventstore_event WHERE event_id = ANY(%s)"
# Only data that may be the same is read: a batch of ids can stand for far more than it weighs. No
# data is a NUL. A seek per id, as below.
_STORED = """
SELECT found.event_id, found.event_type, found.aggregate_id, found.aggregate_type,
    CASE WHEN octet_length(found.data) = wanted.bytes THEN found.data END, ''::text,
    found.stream, found.version, found.position, found.recorded_at, found.hash
FROM unnest(%s::uuid[], %s::bigint[]) AS wanted (id, bytes) CROSS JOIN LATERAL (
    SELECT * FROM eventstore_event WHERE event_id = wanted.id LIMIT 1
) AS found
"""
_OTHER_DATA = "\x00"
# A seek per aggregate: its last row alone is read, however long its history is.
_TIPS = """
SELECT tip.aggregate_id, tip.stream, tip.aggregate_type, tip.version
FROM unnest(%s::text[]) AS wanted (id) CROSS JOIN LATERAL (
    SELECT aggregate_id, stream, aggregate_type, version FROM eventstore_event
    WHERE aggregate_id = wanted.id ORDER BY version DESC LIMIT 1
) AS tip
"""
_ARRAYS: tuple[type[arrays.Array], ...] = (
    *(arrays.Uuids, arrays.Texts, arrays.Texts, arrays.Texts, arrays.Texts, arrays.Texts),
    *(arrays.Texts, arrays.Integers, arrays.Integers, arrays.Moments, arrays.Blobs),
)
# One text for any number of events, so that it is prepared once; arrays in binary, since as text
# they cost the database more.
_ROWS = (
    "unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], "
    "%b::text[], %b::bigint[], %b::bigint[], %b::timestamptz[], %b::bytea[])"
)
_INSERT = f"INSERT INTO eventstore_event ({COLUMNS}) SELECT * FROM {_ROWS}"  # noqa: S608
# The head is moved from where it was remembered, or nothing happens at all. The ids are looked up
# only so that a repeated append is no error in the database's log; the unique keys guard them.
_AT_HEAD = """
WITH moved AS (
    UPDATE eventstore_stream SET position = %b, hash = %b
    WHERE name = %s AND log_id = %b AND position = %b AND hash = %b
        AND NOT EXISTS (SELECT 1 FROM eventstore_event WHERE event_id = {id})
        AND NOT EXISTS (
            SELECT 1 FROM eventstore_event WHERE aggregate_id = {beginning} AND version = 1
        )
    RETURNING name
)
INSERT INTO eventstore_event ({columns}) SELECT added.* FROM moved CROSS JOIN {rows} AS added
"""
_APPEND_AT_HEAD = _AT_HEAD.format(
    id="ANY(%b::uuid[])", beginning="ANY(%b::text[])", columns=COLUMNS, rows=_ROWS
)
# An event that comes alone is spared the arrays, which are slower for so few.
_ROW = (
    "(VALUES (%b::uuid, %b::text, %b::text, %b::text, %b::text, %b::text, "
    "%b::text, %b::bigint, %b::bigint, %b::timestamptz, %b::bytea))"
)
_APPEND_ONE_AT_HEAD = _AT_HEAD.format(
    id="%b::uuid", beginning="%b::text", columns=COLUMNS, rows=_ROW
)
_OF_STREAM = (
    f"SELECT {COLUMNS} FROM eventstore_event "  # noqa: S608
    "WHERE stream = %s AND position >= %s ORDER BY position LIMIT %s"
)
_OF_AGGREGATES = f"""
SELECT wanted.place, {", ".join(f"found.{name}" for name in COLUMNS.split(", "))}
FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS wanted (id, from_version, place)
CROSS JOIN LATERAL (
    SELECT {COLUMNS} FROM eventstore_event
    WHERE aggregate_id = wanted.id AND version >= wanted.from_version
    ORDER BY version LIMIT %s
) AS found
ORDER BY wanted.place, found.version LIMIT %s
"""  # noqa: S608


def head(cursor: CursorWrapper, stream: str, *, lock: bool = False) -> StreamHead | None:
    """Where the stream stands; with `lock`, nobody else can append to it before the commit."""
    cursor.execute(_HEAD + (" FOR UPDATE" if lock else ""), [stream])
    row = cursor.fetchone()
    if row is None:
        return None
    name, log_id, position, hash_ = row
    return StreamHead(stream=name, log_id=log_id, position=position, hash=bytes(hash_))


def create_stream(cursor: CursorWrapper, stream: str, log_id: UUID) -> None:
    """Add the head row of an empty stream, unless it is there."""
    cursor.execute(_CREATE, [stream, log_id, GENESIS])


def advance(cursor: CursorWrapper, before: StreamHead, after: StreamHead) -> bool:
    """Move the head; False if it was not where the caller thought."""
    cursor.execute(_ADVANCE, [after.position, after.hash, before.stream, before.position])
    return cursor.rowcount == 1


def event_under(cursor: CursorWrapper, event_id: UUID) -> Event | None:
    """The event that the log has under this id."""
    cursor.execute(_UNDER_ID, [event_id])
    row = cursor.fetchone()
    return _event(row) if row else None


def known(cursor: CursorWrapper, ids: Sequence[UUID]) -> set[UUID]:
    """Those of these ids that the log has events under."""
    cursor.execute(_KNOWN, [list(ids)])
    return {id_ for (id_,) in cursor.fetchall()}


def stored_under(cursor: CursorWrapper, events: Sequence[NewEvent]) -> dict[UUID, Event]:
    """The events that the log has under the ids of these, to be compared with them: without their
    metadata, and with data that no event has instead of data of another length.
    """
    there = known(cursor, [event.event_id for event in events])
    repeated = [event for event in events if event.event_id in there]
    stored: dict[UUID, Event] = {}
    if not repeated:
        return stored
    lengths = [len(event.data.encode()) for event in repeated]
    cursor.execute(_STORED, [[event.event_id for event in repeated], lengths])
    for row in cursor.fetchall():
        id_, *_, data = row[:5]
        # An id that comes twice in a batch may come with data of two lengths.
        if id_ not in stored or data is not None:
            stored[id_] = _event([*row[:4], _OTHER_DATA if data is None else data, *row[5:]])
    return stored


def tips(cursor: CursorWrapper, aggregate_ids: Collection[str]) -> dict[str, AggregateTip]:
    """Where each aggregate stands that the log knows."""
    cursor.execute(_TIPS, [list(aggregate_ids)])
    return {
        aggregate_id: AggregateTip(stream, aggregate_type, version)
        for aggregate_id, stream, aggregate_type, version in cursor.fetchall()
    }


def insert(cursor: CursorWrapper, events: Sequence[Event]) -> None:
    """Add events, all in one statement."""
    cursor.execute(_INSERT, _columns(events))


def append_at_head(
    cursor: CursorWrapper, before: StreamHead, after: StreamHead, events: Sequence[Event]
) -> bool:
    """Move the head and add events in one statement; False, and nothing is done, if the head is
    not where the caller thought, an id is taken, or an aggregate that is to begin has begun.
    """
    moves = [after.position, after.hash, before.stream, before.log_id, before.position, before.hash]
    beginning = [event.aggregate_id for event in events if event.version == 1]
    if len(events) == 1:
        row = _row(events[0])
        # No aggregate has the empty id.
        cursor.execute(_APPEND_ONE_AT_HEAD, [*moves, row[0], *(beginning or [""]), *row])
    else:
        columns = _columns(events)
        cursor.execute(_APPEND_AT_HEAD, [*moves, columns[0], arrays.Texts.of(beginning), *columns])
    return cursor.rowcount == len(events)


def page_of_stream(
    cursor: CursorWrapper, stream: str, from_position: int, limit: int
) -> list[Event]:
    """The next events of a stream by position."""
    cursor.execute(_OF_STREAM, [stream, from_position, limit])
    return [_event(row) for row in cursor.fetchall()]


def page_of_aggregates(
    cursor: CursorWrapper, aggregates: Sequence[tuple[str, int]], limit: int
) -> list[tuple[int, Event]]:
    """The next events of several (aggregate id, from version), each with its place in the list."""
    ids, versions = [list(column) for column in zip(*aggregates, strict=True)]
    places = list(range(len(aggregates)))
    cursor.execute(_OF_AGGREGATES, [ids, versions, places, limit, limit])
    return [(row[0], _event(row[1:])) for row in cursor.fetchall()]


def _columns(events: Sequence[Event]) -> list[arrays.Array]:
    """The events as arrays, in the order of `COLUMNS`."""
    columns = zip(*map(_row, events), strict=True)
    return [kind.of(column) for kind, column in zip(_ARRAYS, columns, strict=True)]


def _row(event: Event) -> list[Any]:
    """The event's values, in the order of `COLUMNS`."""
    return [
        event.event_id,
        event.event_type,
        event.aggregate_id,
        event.aggregate_type,
        event.data,
        event.metadata,
        event.stream,
        event.version,
        event.position,
        event.recorded_at,
        event.hash,
    ]


def _event(row: Sequence[Any]) -> Event:
    return Event(
        event_id=row[0],
        event_type=row[1],
        aggregate_id=row[2],
        aggregate_type=row[3],
        data=row[4],
        metadata=row[5],
        stream=row[6],
        version=row[7],
        position=row[8],
        recorded_at=row[9].astimezone(UTC),
        hash=bytes(row[10]),
    )
