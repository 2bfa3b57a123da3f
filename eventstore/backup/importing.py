"""Putting an archive of a log into an empty database, byte for byte and position by position."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from django.db.backends.utils import CursorWrapper

from eventstore import statements
from eventstore.backup.archive import Archived, Reader, Told
from eventstore.client.events import Event, StreamHead
from eventstore.transactions import LogDatabase

BATCH_EVENTS = 1_000
BATCH_CHARACTERS = 4 * 1024 * 1024
_TAKE_ID = "UPDATE eventstore_stream SET log_id = %s WHERE name = %s AND position = 0"
_ANY = "SELECT 1 FROM eventstore_event WHERE stream = %s AND position > %s LIMIT 1"


class NotEmpty(Exception):
    """The database has events that are not of the archive; in words for the operator."""


class LogMoved(Exception):
    """Somebody else writes to the log: stop the event store."""

    def __str__(self) -> str:
        return str(self.__doc__)


def load(database: LogDatabase, path: Path, archived: Archived, told: Told) -> int:
    """Import an archive that was verified; how many of its events were new.

    An import that was interrupted goes on where it ended. The log keeps its id.

    Args:
        told: called with the position after each commit.

    Raises:
        NotEmpty, ArchiveDamaged, LogMoved
        Unavailable: the database is away.
        django.db.Error: it refuses, such as an event id that another stream has.
        OSError: the file can't be read.
    """
    head = database.commit(partial(_begin, archived=archived))
    begun_at, batch, size = head, list[Event](), 0
    with path.open("rb") as file:
        for event in Reader(file).events():
            if event.position <= begun_at.position:
                if event.position == begun_at.position and event.hash != begun_at.hash:
                    raise NotEmpty(f"{head.stream} has other events than the archive")
                continue
            batch.append(event)
            size += len(event.data) + len(event.metadata)
            if len(batch) == BATCH_EVENTS or size >= BATCH_CHARACTERS:
                head = database.commit(partial(add, before=head, events=batch))
                told(head.position)
                batch, size = [], 0
    if batch:
        head = database.commit(partial(add, before=head, events=batch))
    return head.position - begun_at.position


def _begin(cursor: CursorWrapper, archived: Archived) -> StreamHead:
    statements.create_stream(cursor, archived.stream, archived.log_id)
    head = statements.head(cursor, archived.stream, lock=True)
    assert head is not None
    if head.log_id != archived.log_id and head.position == 0:
        cursor.execute(_TAKE_ID, [archived.log_id, archived.stream])
        head = replace(head, log_id=archived.log_id)
    cursor.execute(_ANY, [archived.stream, head.position])
    if head.log_id != archived.log_id or cursor.fetchone() or head.position > archived.position:
        raise NotEmpty(
            f"{archived.stream} is not empty: it is log {head.log_id} at {head.position}, the "
            f"archive is of log {archived.log_id}; import into a new database"
        )
    return head


def add(cursor: CursorWrapper, before: StreamHead, events: Sequence[Event]) -> StreamHead:
    """Add events that the log had before, as they were, in the caller's transaction; the new head.

    Raises:
        LogMoved: the head is not `before`.
    """
    after = replace(before, position=events[-1].position, hash=events[-1].hash)
    head = statements.head(cursor, before.stream, lock=True)
    if head == after:
        return after  # the commit before got through, its answer did not
    if head != before:
        raise LogMoved
    statements.insert(cursor, events)
    statements.advance(cursor, before, after)
    return after
