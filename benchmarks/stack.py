"""The servers that a run measures on: its own, in a temporary folder, on free ports of loopback."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from orders_site.embedded.credentials import load_or_create
from orders_site.embedded.ports import free_port
from orders_site.embedded.servers import EmbeddedServers, running

ROOT = Path(__file__).resolve().parents[1]
DATABASES = ("orders", "eventstore", "payments", "restaurant", "queries", "plain", "eventsourcing")
# Where nats-py shows what it can do, beside the stream of the log.
RIVAL_STREAM = "RIVAL"
EMPTY_LOG = "eventstore"
FEW_CONNECTIONS = 70
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Stack:
    """Durable PostgreSQL and NATS, with an empty log and everybody's tables."""

    folder: Path
    servers: EmbeddedServers

    def url(self, database: str) -> str:
        """The URL of a database, for libpq."""
        assert self.servers.postgres is not None
        return self.servers.postgres.url(database)

    @property
    def nats_url(self) -> str:
        """As the publisher, who may do everything here."""
        assert self.servers.nats is not None
        return self.servers.nats.url("publisher")

    def fresh_log(self, name: str) -> str:
        """Create a database with an empty log; its name, as which Django knows it too."""
        from django.db import connections

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {EMPTY_LOG}")
        connections.databases[name] = {**connections.databases["eventstore"], "NAME": name}
        return name

    def settle(self) -> None:
        """Wait until the connections that were closed are gone from the server's count."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            eventually(
                lambda: connection.execute(query).fetchall()[0][0] < FEW_CONNECTIONS,
                "connections are closed",
            )

    def postgres_version(self) -> str:
        """Such as "PostgreSQL 18.1"."""
        with psycopg.connect(self.url("postgres")) as connection:
            row = connection.execute("SHOW server_version").fetchone()
        return f"PostgreSQL {row[0] if row else 'unknown'}"


@contextlib.contextmanager
def folder_of_its_own() -> Iterator[Path]:
    """A temporary folder as the data folder of this process and of those that it starts."""
    folder = Path(tempfile.mkdtemp(prefix="orders-benchmark-"))
    try:
        for name in [name for name in os.environ if name.startswith("ORDERS_")]:
            del os.environ[name]
        os.environ["ORDERS_DATA_DIR"] = str(folder)
        os.environ["ORDERS_LOG_LEVEL"] = "WARNING"
        for name in ("NATS", "VALKEY", "WEB", "EVENTSTORE", "GATEWAY"):
            os.environ[f"ORDERS_{name}_PORT"] = str(free_port())
        load_or_create(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running_stack() -> Iterator[Stack]:
    """The servers and their tables; Django is set up on them."""
    with (
        folder_of_its_own() as folder,
        running(
            folder,
            nats_port=int(os.environ["ORDERS_NATS_PORT"]),
            valkey_port=0,
            streams=("ORDERS", RIVAL_STREAM),
            databases=DATABASES,
            wanted=("postgres", "nats"),
            durable=True,
        ) as servers,
    ):
        _set_up_django()
        yield Stack(folder, servers)


def _set_up_django() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    from benchmarks.plain.tables import create_missing

    for alias in ("eventstore", "queries"):
        call_command("migrate", database=alias, interactive=False, verbosity=0)
    create_missing()
    from eventstore.store import SqlEventStore

    SqlEventStore().create_stream("ORDERS")
    # It is the template of every log, so nobody may be connected to it.
    connections.close_all()


@contextlib.contextmanager
def process(arguments: list[str], ready: Callable[[], object], log: Path) -> Iterator[int]:
    """A Python process of ours, from when it is ready until SIGTERM; its id."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
        )
    try:

        def alive_and_ready() -> object:
            if child.poll() is not None:
                raise RuntimeError(f"{arguments} ended:\n{log.read_text()[-4000:]}")
            return ready()

        eventually(alive_and_ready, f"{arguments} is ready")
        yield child.pid
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextlib.contextmanager
def grpc_process(stack: Stack, name: str, arguments: list[str], port: int) -> Iterator[int]:
    """A gRPC server of ours on the port; its process id."""
    from orders_site.embedded.readiness import grpc_serving

    ready = grpc_serving(f"127.0.0.1:{port}")
    with process(arguments, ready, stack.folder / f"{name}.log") as pid:
        yield pid


@contextlib.contextmanager
def event_store_process(stack: Stack, log: str) -> Iterator[str]:
    """`run_eventstore --no-publisher` as a process on the database of a log; its address."""
    port = free_port()
    arguments = ["manage.py", "run_eventstore", "--no-publisher", "--port", str(port)]
    with (
        environment(
            DJANGO_SETTINGS_MODULE="orders_site.settings",
            ORDERS_EVENTSTORE_DATABASE_URL=stack.url(log),
        ),
        grpc_process(stack, "eventstore", arguments, port),
    ):
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def eventually(probe: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Return when the probe says yes; TimeoutError naming `what` when the time is up."""
    deadline = time.monotonic() + seconds
    while not probe():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)
