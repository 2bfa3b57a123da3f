"""Who else stores events in PostgreSQL from Python, each as a caller that appends one event."""

import contextlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import psycopg

from benchmarks.callers import Caller
from benchmarks.pgbench import COLUMNS
from benchmarks.sample_events import created, quick_uuid
from benchmarks.stack import Stack
from eventstore.client import wire
from eventstore.proto import eventstore_pb2 as pb

POOL_SIZE = 32
Call = Callable[[], object]


def plain_django() -> Caller:
    """`create()` of an event and an outbox row in `atomic()`, a connection per thread."""
    from django.db import connections

    from benchmarks.plain.models import append

    @contextlib.contextmanager
    def caller() -> Iterator[Call]:
        append(created(str(quick_uuid())))
        yield lambda: append(created(str(quick_uuid())))
        connections["plain"].close()

    return caller


def plain_grpc(stub: Any) -> Caller:
    """The plain way behind gRPC, one unary call per event."""

    def call() -> None:
        message = wire.new_event_message(created(str(quick_uuid())))
        stub.CreateEvent(pb.CreateEventRequest(event=message), timeout=30)

    @contextlib.contextmanager
    def caller() -> Iterator[Call]:
        call()
        yield call

    return caller


@contextlib.contextmanager
def eventsourcing(stack: Stack, table: str, *, functions: bool) -> Iterator[Caller]:
    """The recorder of `eventsourcing`; `functions`: with its enable_db_functions."""
    from eventsourcing.persistence import StoredEvent
    from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

    assert stack.servers.postgres is not None
    with PostgresDatastore(
        dbname="eventsourcing",
        host=str(stack.servers.postgres.socket_dir),
        port="5432",
        user="postgres",
        password="",
        pool_size=POOL_SIZE,
        max_overflow=0,
        connect_timeout=60,
        enable_db_functions=functions,
    ) as datastore:
        recorder = PostgresApplicationRecorder(datastore, events_table_name=table)
        recorder.create_table()

        def call() -> None:
            order_id = quick_uuid()
            event = created(str(order_id))
            state = (event.data + event.metadata).encode()
            recorder.insert_events([StoredEvent(order_id, 1, event.event_type, state)])

        @contextlib.contextmanager
        def caller() -> Iterator[Call]:
            call()
            yield call

        yield caller


def eventsourcing_django() -> Caller | None:
    """The recorder of `eventsourcing-django`; None if it is not installed."""
    if find_spec("eventsourcing_django") is None:
        return None
    from django.db import connections
    from eventsourcing.persistence import StoredEvent
    from eventsourcing_django.models import StoredEventRecord
    from eventsourcing_django.recorders import DjangoApplicationRecorder

    recorder = DjangoApplicationRecorder("orders", StoredEventRecord, using="plain")

    def call() -> None:
        order_id = quick_uuid()
        event = created(str(order_id))
        state = (event.data + event.metadata).encode()
        recorder.insert_events([StoredEvent(order_id, 1, event.event_type, state)])

    @contextlib.contextmanager
    def caller() -> Iterator[Call]:
        call()
        yield call
        connections["plain"].close()

    return caller


def psycopg_alone(url: str, *, outbox: bool) -> Caller:
    """Bare psycopg into the tables of pgbench: an INSERT, or a transaction with an outbox row."""
    insert = f"INSERT INTO benchmark_event ({COLUMNS}) VALUES ({', '.join(['%s'] * 8)}, now(), %s)"
    hash_ = bytes(32)

    @contextlib.contextmanager
    def caller() -> Iterator[Call]:
        with psycopg.connect(url, autocommit=True) as connection:

            def one() -> None:
                event = created(str(quick_uuid()))
                values = (*(getattr(event, name) for name in NAMES), event.stream, 1, hash_)
                connection.execute(insert, values)
                if outbox:
                    connection.execute(OUTBOX, [event.event_id, event.event_type, event.data])

            def call() -> None:
                if not outbox:
                    one()
                    return
                with connection.transaction():
                    one()

            call()
            yield call

    return caller


NAMES = ("event_id", "event_type", "aggregate_id", "aggregate_type", "data", "metadata")
OUTBOX = (
    "INSERT INTO benchmark_outbox (event_id, subject, payload, created_at) "
    "VALUES (%s, %s, %s, now())"
)
