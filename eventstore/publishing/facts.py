"""What a message says of an event, read from the log without making an event of it."""

from collections.abc import Iterator
from functools import partial

from django.db.backends.utils import CursorWrapper

from eventstore.client.notice import Facts, facts_of
from eventstore.client.port import EventStore
from eventstore.page_size import PageSize
from eventstore.store import SqlEventStore

# Their order is that of `Facts`. The database makes text and bytes of what it has as such.
_OF_STREAM = """
SELECT position, event_id::text, event_type, aggregate_id, aggregate_type, version, recorded_at,
    metadata, convert_to(CASE WHEN position >= %s THEN data ELSE '' END, 'UTF8')
FROM eventstore_event WHERE stream = %s AND position >= %s ORDER BY position LIMIT %s
"""


class LogReplaced(Exception):
    """The log does not go on from where it was read: a failover or a restore lost its end."""


def read_facts(store: EventStore, stream: str, position: int, before: str = "") -> Iterator[Facts]:
    """The stream's events from this position on, as messages tell of them; a page in memory.

    A log in SQL is read as rows of just that: making each an `Event` first would cost the publisher
    as much as its frame does.

    Args:
        before: the id of the event before them, which is read again with them, as is the last one
            of each page with the next; empty: it is not looked at.

    Raises:
        LogReplaced: that event is not there any more.
    """
    if not isinstance(store, SqlEventStore):
        events = store.read_stream(position - bool(before), stream=stream)
        yield from _following(map(facts_of, events), position, before)
        return
    size = PageSize()
    while True:
        limit = size.events
        page = store.database.read(
            partial(_page, stream=stream, position=position, before=before, limit=limit)
        )
        yield from page
        if len(page) < limit:
            return
        position, before = page[-1].position + 1, page[-1].event_id
        size.learn(page)


def _page(
    cursor: CursorWrapper, stream: str, position: int, before: str, limit: int
) -> list[Facts]:
    again = int(bool(before))
    cursor.execute(_OF_STREAM, [position, stream, position - again, limit + again])
    return list(_following(map(Facts._make, cursor.fetchall()), position, before))


def _following(events: Iterator[Facts], position: int, before: str) -> Iterator[Facts]:
    """The events without the one before them, which is looked at."""
    if before:
        witness = next(events, None)
        if witness is None or (witness.position, witness.event_id) != (position - 1, before):
            raise LogReplaced(f"the log has another event at {position - 1} by now, or none")
    return events
