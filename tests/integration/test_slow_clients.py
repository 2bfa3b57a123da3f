"""Clients that don't send what they announced, or don't take what they wanted, keep no thread."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO

import pytest

from orders_site.embedded.ports import free_port
from orders_site.slow_clients import BODY_SECONDS, UNTAKEN_SECONDS, BodyCutShort, SlowClients
from tests.integration.test_web_process import answers, web
from tests.together import eventually

THREADS = 16
HALF_A_LOGIN = (
    b"POST /admin/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: csrftoken=" + b"a" * 32 + b"\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 50000\r\n\r\nusername="
)
PROBE = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
# Larger than what the kernel keeps for one connection.
LARGE = (
    b"GET /static/drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js.map HTTP/1.1\r\n"
    b"Host: 127.0.0.1\r\n\r\n"
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    number = free_port()
    with web(number):
        eventually(lambda: answers("127.0.0.1", number), timeout=30)
        yield number


@pytest.fixture
def connect(port: int) -> Iterator:
    with ExitStack() as open_ones:

        def connected(data: bytes, room: int = 0) -> socket.socket:
            one = open_ones.enter_context(socket.socket())
            if room:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
            one.settimeout(2 * BODY_SECONDS)
            one.connect(("127.0.0.1", port))
            one.sendall(data)
            return one

        yield connected


def test_bodies_that_never_end_stop_the_others_for_a_while_at_most(port: int, connect) -> None:
    for _ in range(THREADS):
        connect(HALF_A_LOGIN)
    eventually(lambda: not answers("127.0.0.1", port), timeout=5)
    eventually(lambda: answers("127.0.0.1", port), timeout=1.5 * BODY_SECONDS)


def test_of_an_address_only_the_connection_that_is_late_is_cut(connect) -> None:
    used, late = connect(PROBE), connect(HALF_A_LOGIN)
    began = time.monotonic()

    def is_cut() -> bool:
        used.sendall(PROBE)
        assert b"200 OK" in used.recv(4096)
        try:
            late.sendall(b"a")  # it goes on, slowly
        except OSError:
            return True
        return False

    eventually(is_cut, timeout=1.5 * BODY_SECONDS)
    assert time.monotonic() - began > BODY_SECONDS


def test_one_that_is_slow_but_in_time_is_answered(connect) -> None:
    one = connect(HALF_A_LOGIN.replace(b"50000", b"10"))
    began = time.monotonic()
    eventually(lambda: time.monotonic() - began > BODY_SECONDS - 2, timeout=BODY_SECONDS)
    one.sendall(b"a")
    assert one.recv(4096).startswith(b"HTTP/1.1 403")


def test_files_that_nobody_takes_stop_the_others_for_a_while_at_most(port: int, connect) -> None:
    for _ in range(THREADS):
        connect(LARGE, room=4096)
    eventually(lambda: not answers("127.0.0.1", port), timeout=5)
    eventually(lambda: answers("127.0.0.1", port), timeout=1.5 * UNTAKEN_SECONDS)


def test_a_body_that_ends_early_is_an_error() -> None:
    environ = {"REMOTE_ADDR": "::1", "SERVER_PORT": "80", "wsgi.input": BytesIO(b"{}")}
    body = SlowClients().body(environ)
    assert body.read(1) == b"{"
    with pytest.raises(BodyCutShort):
        body.read(2)
