"""Fills a log fast, with everything that an append would have given the events: versions,
positions and a right hash chain.
"""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from uuid import uuid4

import psycopg

from benchmarks import figures
from benchmarks.sample_events import life_of, quick_uuid
from eventstore.client import DEFAULT_STREAM, Event, NewEvent, StreamHead
from eventstore.client.hashing import GENESIS, event_hash
from eventstore.statements import COLUMNS

EVENTS_PER_COMMIT = 20_000
# So many orders have their events between each other's.
ORDERS_TOGETHER = 50


def fill(url: str, events: int, stream: str = DEFAULT_STREAM) -> list[str]:
    """Append so many events to a stream by COPY; the ids of some of the orders that they tell of.

    Args:
        url: of the log's database, to which nobody else may append meanwhile.
    """
    ids: list[str] = []
    with psycopg.connect(url) as connection:
        head = _head(connection, stream)
        todo = islice(_lives(), events)
        last = head.position + events
        while page := list(_recorded(head, islice(todo, EVENTS_PER_COMMIT))):
            with connection.cursor().copy(f"COPY eventstore_event ({COLUMNS}) FROM STDIN") as copy:
                for event in page:
                    copy.write_row([getattr(event, name) for name in COLUMNS.split(", ")])
            head = replace(head, position=page[-1].position, hash=page[-1].hash)
            connection.execute(
                "UPDATE eventstore_stream SET position = %s, hash = %s WHERE name = %s",
                [head.position, head.hash, stream],
            )
            connection.commit()
            ids += random.sample([event.aggregate_id for event in page], min(100, len(page)))
            if events > EVENTS_PER_COMMIT:
                figures.say(f"  filled up to {head.position:,} of {last:,}")
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE eventstore_event")
    return ids


def _head(connection: psycopg.Connection, stream: str) -> StreamHead:
    """The stream's head, which is made if it is not there."""
    connection.execute(
        "INSERT INTO eventstore_stream (name, log_id, position, hash) VALUES (%s, %s, 0, %s) "
        "ON CONFLICT DO NOTHING",
        [stream, uuid4(), GENESIS],
    )
    row = connection.execute(
        "SELECT name, log_id, position, hash FROM eventstore_stream WHERE name = %s", [stream]
    ).fetchone()
    assert row is not None
    return StreamHead(stream=row[0], log_id=row[1], position=row[2], hash=bytes(row[3]))


def _lives() -> Iterator[tuple[NewEvent, int]]:
    """Orders' events with their versions, without end."""
    while True:
        lives = [life_of(str(quick_uuid())) for _ in range(ORDERS_TOGETHER)]
        for version, events in enumerate(zip(*lives, strict=True), start=1):
            yield from ((event, version) for event in events)


def _recorded(head: StreamHead, events: Iterator[tuple[NewEvent, int]]) -> Iterator[Event]:
    position, previous = head.position, head.hash
    now = datetime.now(UTC)
    for event, version in events:
        position += 1
        fields = {**vars(event), "stream": head.stream, "version": version, "position": position}
        fields["recorded_at"] = now
        previous = event_hash(previous, **fields)
        yield Event(**fields, hash=previous)
