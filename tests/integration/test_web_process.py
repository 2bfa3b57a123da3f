"""The web server as a process: its port is its own, and nothing of it outlives it."""

import http.client
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from orders_site.embedded.ports import free_port
from tests.together import eventually

ROOT = Path(__file__).parents[2]


@contextmanager
def web(port: int, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`manage.py run_web` while the block runs; what is left of it is ended."""
    command = [sys.executable, str(ROOT / "manage.py"), "run_web", f"--port={port}", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def answers(host: str, port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/healthz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def refusal(port: int, *arguments: str) -> str:
    """What a server says that refuses to start."""
    with web(port, *arguments) as process:
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 1, said
    assert "Traceback" not in said
    return said


def test_no_worker_outlives_a_server_that_is_killed() -> None:
    port = free_port()
    with web(port, "--workers=2") as server:
        eventually(lambda: answers("127.0.0.1", port), timeout=30)
        workers = psutil.Process(server.pid).children(recursive=True)
        assert len(workers) >= 2
        server.kill()
        server.wait()
        psutil.wait_procs(workers, timeout=5)
        assert not [one for one in workers if one.is_running() and one.status() != "zombie"]
        with web(port):
            eventually(lambda: answers("127.0.0.1", port), timeout=30)


def test_a_second_server_does_not_share_the_port_of_the_first() -> None:
    port = free_port()
    with web(port):
        eventually(lambda: answers("127.0.0.1", port), timeout=30)
        assert f"port {port}: it is taken by another program" in refusal(port)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "a..b", "x" * 70])
def test_an_address_that_is_not_ours_is_refused_in_words(host: str) -> None:
    assert f"cannot listen on '{host}'" in refusal(free_port(), f"--host={host}")


def test_an_address_may_be_given_by_name() -> None:
    port = free_port()
    with web(port, "--host=localhost"):
        eventually(lambda: answers("localhost", port), timeout=30)


def test_one_connection_carries_pages_files_and_answers_without_a_body() -> None:
    port = free_port()
    with web(port):
        eventually(lambda: answers("127.0.0.1", port), timeout=30)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for method, path, least in [
            ("HEAD", "/healthz", 0),
            ("GET", "/healthz", 10),
            ("HEAD", "/static/admin/css/base.css", 0),
            ("GET", "/static/admin/css/base.css", 1_000),
            ("GET", "/api/docs", 500),
        ]:
            connection.request(method, path)
            answer = connection.getresponse()
            assert answer.status == 200, path
            assert len(answer.read()) >= least
            assert int(answer.headers["Content-Length"]) >= least
        connection.close()
