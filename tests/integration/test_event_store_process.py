"""`manage.py run_eventstore` as a process: how it starts, waits, is killed and stops."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import grpc
import nats
import nats.js.errors
import psycopg
import pytest
from django.conf import settings
from django.db import connections
from grpc_health.v1 import health_pb2, health_pb2_grpc

from eventstore.client import Appended, EventStoreError, Unavailable
from eventstore.client.remote import RemoteEventStore
from eventstore.store import SqlEventStore
from orders_site.embedded.ports import free_port
from tests.contract.new_events import new_event
from tests.together import eventually

pytestmark = pytest.mark.django_db(databases=["eventstore"], transaction=True)
ROOT = Path(__file__).resolve().parents[2]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class ServerProcess:
    """A `run_eventstore` of this test's own, its output in a file."""

    def __init__(self, log: Path, port: int, database_url: str, *options: str) -> None:
        self.port, self.log = port, log
        self.address = f"127.0.0.1:{port}"
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "orders_site.settings",
            "ORDERS_EVENTSTORE_DATABASE_URL": database_url,
            "ORDERS_DATA_DIR": str(settings.DATA_DIR),
        }
        command = [sys.executable, "manage.py", "run_eventstore", "--port", str(port), *options]
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=output
            )

    def health(self) -> int | None:
        """What the health service says; None while nobody answers."""
        with grpc.insecure_channel(self.address) as channel, suppress(grpc.RpcError):
            stub = health_pb2_grpc.HealthStub(channel)
            return stub.Check(health_pb2.HealthCheckRequest(), timeout=2).status
        return None

    def wait_until(self, status: int) -> None:
        def reached() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return self.health() == status

        eventually(reached, timeout=30)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(15)


def database_url(postgres, name: str = "") -> str:
    return postgres.url(name or connections["eventstore"].settings_dict["NAME"])


@pytest.fixture
def run_server(postgres, tmp_path) -> Iterator[object]:
    running: list[ServerProcess] = []

    def run(*options: str, port: int | None = None, url: str = "") -> ServerProcess:
        log = tmp_path / f"server-{len(running)}.log"
        url = url or database_url(postgres)
        running.append(ServerProcess(log, port or free_port(), url, *options))
        return running[-1]

    yield run
    for server in running:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


@contextmanager
def deaf_proxy(port: int) -> Iterator[tuple[int, threading.Event]]:
    """A way to the server, as a port; once the event is set, no answer of it arrives any more."""
    listener = socket.create_server(("127.0.0.1", 0))
    deaf = threading.Event()
    sockets: list[socket.socket] = [listener]

    def pump(source: socket.socket, target: socket.socket, swallow: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not (swallow and deaf.is_set()):
                    target.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", port))
                sockets.extend((client, server))
                for way in ((client, server, False), (server, client, True)):
                    threading.Thread(target=pump, args=way, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], deaf
    finally:
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def test_it_serves_says_so_and_stops_cleanly_on_sigterm(run_server):
    server = run_server()
    server.wait_until(SERVING)
    with closing(RemoteEventStore(server.address)) as client:
        assert client.append([new_event("a")]).positions == (1,)
        followed = client.read_stream(follow=True)
        assert next(followed).position == 1
        began = time.monotonic()
        assert server.end(signal.SIGTERM) == 0
        assert time.monotonic() - began < 10
        followed.close()

    log = server.log.read_text()
    assert f"ready: gRPC on port {server.port}" in log
    assert "stopped" in log
    assert "Traceback" not in log


def test_what_is_appended_is_published(run_server, nats_server):
    server = run_server()
    server.wait_until(SERVING)
    with closing(RemoteEventStore(server.address)) as client:
        client.append([new_event("a", data='{"n":1}'), new_event("a", data='{"n":2}')])
        published = eventually(lambda: nats_messages("ORDERS", 2))

    assert published == [("ORDERS.order-created", '{"n":1}'), ("ORDERS.order-created", '{"n":2}')]
    assert server.end() == 0
    assert "Traceback" not in server.log.read_text()


def nats_messages(stream: str, count: int) -> list[tuple[str, str]]:
    """The subjects and payloads of the stream's first messages; none while it has fewer."""

    async def read() -> list[tuple[str, str]]:
        client = await nats.connect(settings.NATS_PUBLISHER_URL)
        try:
            jetstream = client.jetstream()
            messages = [await jetstream.get_msg(stream, n) for n in range(1, count + 1)]
            return [(message.subject, message.data.decode()) for message in messages]
        except nats.js.errors.Error:
            return []
        finally:
            await client.close()

    return asyncio.run(read())


def test_it_stops_cleanly_on_sigint_too(run_server):
    server = run_server()
    server.wait_until(SERVING)

    assert server.end(signal.SIGINT) == 0
    assert "Traceback" not in server.log.read_text()


def test_a_taken_port_gives_one_clear_line(run_server):
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = run_server(port=other.getsockname()[1])
        assert server.process.wait(30) == 1

    log = server.log.read_text()
    assert f"port {server.port}: it is taken by another program" in log
    assert len(log.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "exit_code"),
    [(["--port", "99999"], 1), (["--port", "http"], 2), (["--nonsense"], 2)],
)
def test_wrong_options_are_said_to_be_wrong(run_server, options, exit_code):
    server = run_server(*options)

    assert server.process.wait(30) == exit_code
    assert "Traceback" not in server.log.read_text()


def test_killed_between_commit_and_reply_the_retry_gets_the_original(run_server):
    server = run_server()
    server.wait_until(SERVING)
    store = SqlEventStore()
    event = new_event("a")
    with deaf_proxy(server.port) as (port, deaf):
        with closing(RemoteEventStore(f"127.0.0.1:{port}", timeout_seconds=30)) as cut_off:
            assert cut_off.head().position == 0
            deaf.set()
            answers: list[object] = []
            caller = threading.Thread(target=lambda: answers.append(outcome(cut_off, event)))
            caller.start()
            eventually(lambda: store.head().position == 1)
            assert server.end(signal.SIGKILL) == -signal.SIGKILL
    caller.join(30)
    assert [type(answer) for answer in answers] == [Unavailable]

    again = run_server(port=server.port)
    again.wait_until(SERVING)
    with closing(RemoteEventStore(again.address)) as client:
        client.append([new_event("a")])
        assert client.append([event]) == Appended(versions=(1,), positions=(1,))
    assert [stored.event_id for stored in store.read_stream(limit=1)] == [event.event_id]
    assert store.head().position == 2


def outcome(client: RemoteEventStore, event: object) -> object:
    try:
        return client.append([event])
    except EventStoreError as error:
        return error


def test_a_server_without_its_database_waits_for_it(run_server, postgres):
    server = run_server(url=database_url(postgres, "not_there_yet"))
    server.wait_until(NOT_SERVING)
    eventually(lambda: "waiting for the database" in server.log.read_text())
    with closing(RemoteEventStore(server.address, timeout_seconds=1)) as client:
        with pytest.raises(Unavailable):
            client.append([new_event("a")])

        name = connections["eventstore"].settings_dict["NAME"]
        connections["eventstore"].close()
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
            admin.execute(f'CREATE DATABASE not_there_yet TEMPLATE "{name}"')
            try:
                server.wait_until(SERVING)
                assert client.append([new_event("a")]).positions == (1,)
                assert server.end() == 0
            finally:
                server.process.kill()
                server.process.wait()
                admin.execute("DROP DATABASE not_there_yet WITH (FORCE)")
    assert "Traceback" not in server.log.read_text()
    assert len(server.log.read_text().splitlines()) < 12
