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
    metadata, convert_to(data, 'UTF8')
FROM eventstore_event WHERE stream = %s AND position >= %s ORDER BY position LIMIT %s
"""


def read_facts(store: EventStore, stream: str, position: int) -> Iterator[Facts]:
    """The stream's events from this position on, as messages tell of them; a page in memory.

    A log in SQL is read as rows of just that: making each an `Event` first would cost the publisher
    as much as its frame does.
    """
    if not isinstance(store, SqlEventStore):
        yield from map(facts_of, store.read_stream(position, stream=stream))
        return
    size = PageSize()
    while True:
        limit = size.events
        page = store.database.read(
            partial(_page, stream=stream, from_position=position, limit=limit)
        )
        yield from page
        if len(page) < limit:
            return
        position = page[-1].position + 1
        size.learn(page)


def _page(cursor: CursorWrapper, stream: str, from_position: int, limit: int) -> list[Facts]:
    cursor.execute(_OF_STREAM, [stream, from_position, limit])
    return list(map(Facts._make, cursor.fetchall()))
