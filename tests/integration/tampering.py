"""A log in the test database, and what a superuser of it can do to it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connections

from eventstore.client import Append, Appended, Event, EventStore, to_json
from eventstore.client.hashing import GENESIS
from eventstore.integrity.verification import hash_of
from tests.contract.new_events import new_event

TRIGGER = "eventstore_event_is_immutable"


def fill(store: EventStore, count: int, orders: int = 5) -> None:
    """Append events of some orders, each but the first caused by the one before it."""
    head = store.head().position
    cause = next(store.read_stream(head), None) if head else None
    caused_by = str(cause.event_id) if cause else ""
    appends = []
    for number in range(head, head + count):
        event = new_event(
            f"order-{number % orders}",
            data=f'{{"number": {number}, "text": "ü"}}',
            metadata=to_json({"actor": "tests", "causation_id": caused_by}),
        )
        appends.append(Append(events=[event]))
        caused_by = str(event.event_id)
    outcomes = store.append_batch(appends)
    assert all(isinstance(outcome, Appended) for outcome in outcomes)


def run_sql(sql: str, *parameters: Any) -> None:
    """A statement on the event store's database."""
    with connections["eventstore"].cursor() as cursor:
        cursor.execute(sql, parameters)


@contextmanager
def without_trigger() -> Iterator[None]:
    """Events can be changed meanwhile."""
    run_sql(f"ALTER TABLE eventstore_event DISABLE TRIGGER {TRIGGER}")
    try:
        yield
    finally:
        run_sql(f"ALTER TABLE eventstore_event ENABLE TRIGGER {TRIGGER}")


def edit(position: int, column: str, value: Any) -> None:
    """Change a column of the event at a position."""
    with without_trigger():
        run_sql(f"UPDATE eventstore_event SET {column} = %s WHERE position = %s", value, position)


def delete(first: int, last: int) -> None:
    """Remove the events from first to last."""
    with without_trigger():
        run_sql("DELETE FROM eventstore_event WHERE position BETWEEN %s AND %s", first, last)


def swap(one: int, other: int) -> None:
    """Exchange the places of two events."""
    with without_trigger():
        for old, new in ((one, 0), (other, one), (0, other)):
            run_sql("UPDATE eventstore_event SET position = %s WHERE position = %s", new, old)


def move_head(position: int, hash_: bytes) -> None:
    """Set the head row."""
    run_sql("UPDATE eventstore_stream SET position = %s, hash = %s", position, hash_)


def cut_tail(store: EventStore, position: int) -> None:
    """Make the log end at a position as if there had never been more, as a restored backup does."""
    last = next(store.read_stream(position, limit=1)).hash if position else GENESIS
    delete(position + 1, 2**62)
    move_head(position, last)


def rehash(events: Sequence[Event]) -> None:
    """Make all hashes anew, the head's too, so that nothing in the database tells."""
    previous = GENESIS
    with without_trigger():
        for event in events:
            previous = hash_of(event, previous)
            run_sql(
                "UPDATE eventstore_event SET hash = %s WHERE event_id = %s",
                *(previous, event.event_id),
            )
    move_head(events[-1].position, previous)
