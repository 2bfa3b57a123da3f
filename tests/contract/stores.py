"""The stores that the contract holds for, each empty and with the streams ORDERS and OTHER."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.db import connections
from psycopg import IsolationLevel

from eventstore.client import EventStore
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.remote import RemoteEventStore
from eventstore.server import EventStoreServer
from eventstore.store import SqlEventStore

STREAMS = ("ORDERS", "OTHER")
# Of an aggregate; longer than what comes in one reply.
MOST_EVENTS = 2_500


@contextmanager
def memory() -> Iterator[EventStore]:
    yield InMemoryEventStore(STREAMS, aggregate_events=MOST_EVENTS)


@contextmanager
def sql(level: IsolationLevel = IsolationLevel.READ_COMMITTED) -> Iterator[SqlEventStore]:
    """On the test database, whose connections run at this isolation level meanwhile."""
    options = connections.settings["eventstore"]["OPTIONS"]
    before = options["isolation_level"]
    connections["eventstore"].close()
    options["isolation_level"] = level
    store = SqlEventStore(aggregate_events=MOST_EVENTS)
    for stream in STREAMS:
        store.create_stream(stream)
    try:
        yield store
    finally:
        connections["eventstore"].close()
        options["isolation_level"] = before


@contextmanager
def serving(store: SqlEventStore, **options: object) -> Iterator[EventStoreServer]:
    """A gRPC server over the store, on a free port."""
    server = EventStoreServer(store, "127.0.0.1", 0, **options)
    server.start()
    server.set_serving(True)
    try:
        yield server
    finally:
        assert server.stop(5)


@contextmanager
def remote() -> Iterator[EventStore]:
    with ExitStack() as stack:
        server = stack.enter_context(serving(stack.enter_context(sql())))
        client = RemoteEventStore(f"127.0.0.1:{server.port}")
        stack.callback(client.close)
        yield client
