"""Start, stop, crash and take-over of each embedded server."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from orders_site.embedded.credentials import load_or_create
from orders_site.embedded.nats import EmbeddedNats
from orders_site.embedded.ports import free_port
from orders_site.embedded.postgres import EmbeddedPostgres, socket_dir
from orders_site.embedded.process import EmbeddedServerError
from orders_site.embedded.valkey import EmbeddedValkey

# Runs a server as `manage.py up` would, says so, and waits to be killed.
SUPERVISOR = """
import signal, sys
from pathlib import Path
from tests_embedded_build import build
build(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])).start()
print("started", flush=True)
signal.pause()
"""


def build(data_dir: Path, kind: str, port: int):
    if kind == "postgres":
        return EmbeddedPostgres(data_dir, durable=False)
    credentials = load_or_create(data_dir)
    return {"nats": EmbeddedNats, "valkey": EmbeddedValkey}[kind](data_dir, port, credentials)


@dataclass
class Subject:
    """A kind of server, its data folder, and a value to keep in it."""

    kind: str
    data_dir: Path
    port: int

    def server(self):
        """A new owner of this kind of server."""
        return build(self.data_dir, self.kind, self.port)

    def write(self, server) -> None:
        if self.kind == "postgres":
            with psycopg.connect(server.url("postgres")) as connection:
                connection.execute("CREATE TABLE kept AS SELECT 42 AS value")
        elif self.kind == "valkey":
            redis.from_url(server.url()).set("kept", "42")
        else:
            (server.home / "kept").write_text("42")

    def read(self, server) -> int:
        if self.kind == "postgres":
            with psycopg.connect(server.url("postgres")) as connection:
                return connection.execute("SELECT value FROM kept").fetchone()[0]
        if self.kind == "valkey":
            return int(redis.from_url(server.url()).get("kept"))
        return int((server.home / "kept").read_text())


@pytest.fixture
def data_dir():
    folder = Path(tempfile.mkdtemp(prefix="orders-lifecycle-"))
    yield folder
    shutil.rmtree(folder)
    shutil.rmtree(socket_dir(folder), ignore_errors=True)


@pytest.fixture(params=["postgres", "nats", "valkey"])
def subject(request, data_dir):
    return Subject(request.param, data_dir, free_port())


@pytest.fixture
def supervise(subject, tmp_path):
    """Starts a supervisor of the subject in another process."""
    (tmp_path / "tests_embedded_build.py").write_text(
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        f"from {Path(__file__).stem} import build\n__all__ = ['build']\n"
    )
    started = []

    def start() -> subprocess.Popen:
        arguments = [str(subject.data_dir), subject.kind, str(subject.port)]
        process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, *arguments],
            env=os.environ | {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parent}:{os.getcwd()}"},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "started\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
    subject.server().process.stop_left_over()


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        os.sched_yield()


def test_given_data_when_stopped_and_started_then_it_is_kept(subject):
    server = subject.server()
    server.start()
    subject.write(server)
    server.stop()
    assert not server.is_running()

    server.start()
    try:
        assert server.is_running()
        assert subject.read(server) == 42
    finally:
        server.stop()


def test_given_a_killed_server_when_started_then_it_recovers(subject):
    server = subject.server()
    server.start()
    subject.write(server)
    first = server.process.pid()
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not server.is_running())

    server.start()
    try:
        assert server.process.pid() != first
        assert subject.read(server) == 42
    finally:
        server.stop()


def test_given_a_killed_supervisor_when_started_then_its_server_is_replaced(subject, supervise):
    supervisor = supervise()
    server = subject.server()
    left_over = psutil.Process(server.process.pid())
    subject.write(server)
    supervisor.kill()
    supervisor.wait()
    assert server.is_running()

    server.start()
    try:
        assert server.process.pid() != left_over.pid
        assert not left_over.is_running() or left_over.status() == psutil.STATUS_ZOMBIE
        assert subject.read(server) == 42
    finally:
        server.stop()


def test_given_supervisor_and_server_killed_when_started_then_it_recovers(subject, supervise):
    supervisor = supervise()
    server = subject.server()
    subject.write(server)
    pid = server.process.pid()
    supervisor.kill()
    supervisor.wait()
    os.kill(pid, signal.SIGKILL)

    server.start()
    try:
        assert subject.read(server) == 42
    finally:
        server.stop()


def test_given_a_killed_supervisor_without_pid_file_when_started_then_its_server_is_found(
    subject, supervise
):
    supervisor = supervise()
    server = subject.server()
    supervisor.kill()
    supervisor.wait()
    server.process.pid_path.unlink()

    server.start()
    try:
        assert server.is_running()
    finally:
        server.stop()


def test_given_a_live_supervisor_when_another_starts_then_it_is_refused_by_pid(subject, supervise):
    supervisor = supervise()
    server = subject.server()

    with pytest.raises(EmbeddedServerError, match=f"already run by process {supervisor.pid}: "):
        server.start()
    with pytest.raises(EmbeddedServerError, match="already run by"):
        server.process.stop_left_over()

    assert server.is_running()


def test_given_a_running_server_when_its_owner_starts_it_again_then_nothing_happens(subject):
    server = subject.server()
    server.start()
    try:
        first = server.process.pid()
        server.start()
        assert server.process.pid() == first
    finally:
        server.stop()


def test_given_a_started_server_when_ctrl_c_is_typed_then_it_is_in_another_session(subject):
    server = subject.server()
    server.start()
    try:
        assert os.getsid(server.process.pid()) != os.getsid(0)
    finally:
        server.stop()


def test_given_nothing_left_when_stopping_what_was_left_then_it_says_so(subject):
    assert subject.server().process.stop_left_over() is False


def test_given_a_pid_file_of_another_process_when_started_then_that_process_lives(subject):
    bystander = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    server = subject.server()
    server.process.pid_path.parent.mkdir()
    created = psutil.Process(bystander.pid).create_time()
    server.process.pid_path.write_text(f'{{"pid": {bystander.pid}, "create_time": {created}}}')

    server.start()
    try:
        assert bystander.poll() is None
    finally:
        server.stop()
        bystander.kill()
        bystander.wait()


def test_given_a_running_server_when_listing_its_secrets_then_argv_and_files_hide_them(subject):
    server = subject.server()
    server.start()
    try:
        command = " ".join(psutil.Process(server.process.pid()).cmdline())
    finally:
        server.stop()

    for config in server.process.home.glob("*.conf"):
        assert config.stat().st_mode & 0o077 == 0
    if subject.kind != "postgres":
        credentials = load_or_create(subject.data_dir)
        assert not [secret for secret in vars(credentials).values() if secret in command]


@pytest.mark.parametrize("kind", ["nats", "valkey"])
def test_given_a_taken_port_when_started_then_one_line_says_who_has_it(data_dir, kind):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = build(data_dir, kind, listener.getsockname()[1])

        with pytest.raises(EmbeddedServerError, match=f"pid {os.getpid()} .*{kind.upper()}_PORT"):
            server.start()

    server.start()
    server.stop()
