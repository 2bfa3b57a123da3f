"""The connections of the system that a network may cut, each in use all the time."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connections

from eventstore.client.memory import InMemoryEventStore
from eventstore.client.remote import RemoteEventStore
from eventstore.publisher import Publisher
from orders_site.embedded.credentials import load_or_create
from orders_site.embedded.nats import EmbeddedNats
from orders_site.embedded.ports import free_port
from restaurant import models as restaurant_models
from tests.chaos.network import Wire, Wires
from tests.chaos.proxy import Address
from tests.chaos.test_commit_in_doubt import Writer
from tests.chaos.test_publisher_fence import stream_is_log
from tests.integration.broker import STREAM, Broker
from tests.integration.handlers import Ledger
from tests.integration.messaging import Worker, fill, followed, said, subscription_of
from tests.integration.test_event_store_process import SERVING, ServerProcess

FEED_SECONDS = 0.05


@dataclass(frozen=True)
class Edge:
    """A connection over a wire.

    Args:
        asked: how much has been asked for that needs the connection.
        done: how much of it has been seen to come about.
        complaints: how often a partition has been noticed.
        check: that nothing is lost or doubled; once nothing more is asked for.
        watchful: notices a partition also while it is asked for nothing.
    """

    name: str
    wire: Wire
    asked: Callable[[], int]
    done: Callable[[], int]
    complaints: Callable[[], int]
    check: Callable[[], None]
    watchful: bool = True


class Edges:
    """Lays the wires and has them used; `edges` are those that were asked for."""

    def __init__(
        self, stack: ExitStack, wires: Wires, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.edges: list[Edge] = []
        self.writers: list[Writer] = []
        self._stack, self._wires, self._folder, self._caplog = stack, wires, folder, caplog
        self._ended, self._idle = threading.Event(), threading.Event()
        self._users: list[threading.Thread] = []
        stack.callback(self.end)

    def end(self) -> None:
        """Ask for nothing more; what was asked for goes on until it is done."""
        self._ended.set()
        for user in self._users:
            user.join(120)
            assert not user.is_alive()

    @property
    def resting(self) -> bool:
        return self._idle.is_set()

    def rest(self, idle: bool) -> None:
        """Whether to ask for nothing for the time being."""
        (self._idle.set if idle else self._idle.clear)()

    def subscribers(self) -> None:
        """One that is cut off from NATS, one that is so from its database; NATS has news."""
        broker, log = self._nats("nats-1"), InMemoryEventStore()
        self._publish(log, broker.url)
        self._use(lambda: fill(log, 1))
        to_nats = self._wires.to(("127.0.0.1", broker.server.port))
        through_wire = _rerouted(broker.subscriber_url, to_nats)
        self._subscriber("subscriber - NATS", log, through_wire, to_nats, "payments")
        to_database = self._wires.to(_server_of("restaurant"))
        self._stack.enter_context(_moved("restaurant", to_database))
        name = "subscriber - its database"
        self._subscriber(name, log, broker.subscriber_url, to_database, "restaurant")

    def publisher(self) -> None:
        """One that is cut off from NATS while the log grows."""
        broker, log = self._nats("nats-2"), InMemoryEventStore()
        wire = self._wires.to(("127.0.0.1", broker.server.port))
        publisher = self._publish(log, _rerouted(broker.url, wire))
        self._use(lambda: fill(log, 1))
        self.edges.append(
            Edge(
                "publisher - NATS",
                wire,
                asked=lambda: log.head().position,
                done=lambda: publisher.status()[0].published,
                complaints=lambda: len(said(self._caplog, logging.WARNING, "NATS is away")),
                check=lambda: stream_is_log(broker.url, log),
            )
        )

    def event_store(self) -> None:
        """One server that is cut off from PostgreSQL, and a client that is so from another."""
        wire = self._wires.to(_server_of("eventstore"))
        cut_off = self._server(_url_of("eventstore", *wire.address))
        self._writer(
            "event store - PostgreSQL",
            wire,
            cut_off.address,
            lambda: cut_off.log.read_text().count("waiting for the database"),
        )
        server = self._server(_url_of("eventstore", *_host_of("eventstore")))
        wire = self._wires.to(("127.0.0.1", server.port))
        self._writer("context - event store", wire, f"{wire.address[0]}:{wire.address[1]}")

    def _nats(self, name: str) -> Broker:
        folder = self._folder / name
        folder.mkdir()
        server = EmbeddedNats(folder, free_port(), load_or_create(settings.DATA_DIR))
        server.start()
        self._stack.callback(server.stop)
        return Broker(server)

    def _publish(self, log: InMemoryEventStore, url: str) -> Publisher:
        publisher = Publisher(log, streams=[STREAM], nats_url=url)
        publisher.start()
        self._stack.callback(publisher.stop)
        return publisher

    def _subscriber(
        self, name: str, log: InMemoryEventStore, url: str, wire: Wire, database: str
    ) -> None:
        ledger, worker = Ledger(), f"{database}-1"
        subscription = replace(subscription_of(ledger, log, worker), name=database)
        if database == "restaurant":
            subscription = replace(
                subscription,
                database=database,
                checkpoints=restaurant_models.Checkpoint,
                parked=restaurant_models.ParkedMessage,
            )
        running = Worker(subscription, url)
        self._stack.callback(running.stop)
        self.edges.append(
            Edge(
                name,
                wire,
                asked=lambda: log.head().position,
                done=lambda: sum(ledger.applied.values()),
                complaints=lambda: len(said(self._caplog, logging.WARNING, f"{worker}: waiting")),
                check=lambda: followed(ledger, log),
            )
        )

    def _server(self, url: str) -> ServerProcess:
        log = self._folder / f"server-{free_port()}.log"
        server = ServerProcess(log, free_port(), url, "--no-publisher")
        self._stack.callback(server.process.wait, 15)
        self._stack.callback(server.process.terminate)
        server.wait_until(SERVING)
        return server

    def _writer(
        self, name: str, wire: Wire, address: str, complaints: Callable[[], int] | None = None
    ) -> None:
        client = self._stack.enter_context(closing(RemoteEventStore(address)))
        writer = Writer(client, f"order-{len(self.writers)}", Random(len(self.writers)))
        self.writers.append(writer)
        self._use(lambda: writer.write(1))
        self.edges.append(
            Edge(
                name,
                wire,
                # The one that it is at.
                asked=lambda: len(writer.acknowledged) + 1,
                done=lambda: len(writer.acknowledged),
                complaints=complaints or (lambda: writer.given_up),
                check=lambda: None,
                watchful=complaints is not None,
            )
        )

    def _use(self, work: Callable[[], None]) -> None:
        def use() -> None:
            while not self._ended.wait(FEED_SECONDS):
                if not self._idle.is_set():
                    work()

        self._users.append(threading.Thread(target=use))
        self._users[-1].start()


@contextmanager
def in_use(wires: Wires, folder: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Edges]:
    """All edges, each in use."""
    with ExitStack() as stack:
        edges = Edges(stack, wires, folder, caplog)
        edges.subscribers()
        edges.publisher()
        edges.event_store()
        yield edges


def _rerouted(url: str, wire: Wire) -> str:
    """The URL of a server, by way of the wire."""
    parts = urlsplit(url)
    host, port = wire.address
    login = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{login}@{host}:{port}").geturl()


def _host_of(alias: str) -> tuple[str, str]:
    parameters = connections.settings[alias]
    return parameters["HOST"], parameters["PORT"]


def _server_of(alias: str) -> Address:
    """Where a database's server listens."""
    host, port = _host_of(alias)
    return Path(host) / f".s.PGSQL.{port}" if host.startswith("/") else (host, int(port))


def _url_of(alias: str, host: str, port: int | str) -> str:
    """The URL of a database, by way of that address."""
    of = connections.settings[alias]
    return f"postgresql://{of['USER']}:{of['PASSWORD']}@/{of['NAME']}?host={host}&port={port}"


@contextmanager
def _moved(alias: str, wire: Wire) -> Iterator[None]:
    """What this process opens to the database from now on goes by way of the wire."""
    parameters = connections.settings[alias]
    before = parameters["HOST"], parameters["PORT"]
    connections[alias].close()
    parameters["HOST"], parameters["PORT"] = wire.address
    try:
        yield
    finally:
        connections[alias].close()
        parameters["HOST"], parameters["PORT"] = before
