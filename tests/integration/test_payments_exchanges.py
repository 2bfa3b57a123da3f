"""HTTP exchanges on real sockets: connections are kept, and no request is ever sent twice."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from orders_site.embedded.ports import free_port
from payments.gateways import exchanges
from payments.gateways.exchanges import HttpExchanges, NoReply
from tests.together import eventually

FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Name: Value\r\n\r\n{}"


class Listener:
    """A server that answers the n-th request with the n-th script and counts connections.

    A script of None hangs up without a word; one that ends in b"CLOSE" hangs up after it.
    """

    def __init__(self, *scripts: bytes | None) -> None:
        self.scripts = list(scripts)
        self.connections = 0
        self.requests: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        while request := _request(connection):
            self.requests.append(request)
            script = self.scripts.pop(0)
            if script is None:
                return
            connection.sendall(script.removesuffix(b"CLOSE"))
            if script.endswith(b"CLOSE"):
                return


def _request(connection: socket.socket) -> bytes:
    """A whole request; empty when the client hangs up."""
    request = b""
    while not request.endswith(b"\r\n\r\n" if request.startswith(b"GET") else b"\r\n\r\n{}"):
        if not (part := connection.recv(65536)):
            return b""
        request += part
    return request


@contextmanager
def asked(*scripts: bytes | None) -> Iterator[tuple[Listener, HttpExchanges]]:
    with closing(Listener(*scripts)) as server:
        with closing(HttpExchanges(f"{server.url}/base/", 1.0)) as client:
            yield server, client


def test_a_thread_keeps_its_connection() -> None:
    with asked(FINE, FINE) as (server, client):
        for _ in range(2):
            reply = client.ask("GET", "/x?y=1", {"Authorization": "k"})
            assert (reply.status, reply.headers["x-name"], reply.body) == (200, "Value", b"{}")
        assert server.connections == 1
        assert server.requests[0].startswith(b"GET /base/x?y=1 HTTP/1.1\r\n")


def test_a_connection_that_the_server_closed_meanwhile_is_opened_anew() -> None:
    with asked(FINE + b"CLOSE", FINE) as (server, client):
        client.ask("GET", "/", {})
        eventually(lambda: _said_goodbye(client))
        assert client.ask("GET", "/", {}).status == 200
        assert server.connections == 2


@pytest.mark.parametrize(
    "script",
    [
        None,
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}CLOSE",
        b"not HTTP\r\n\r\nCLOSE",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
    ],
    ids=["silence", "half a reply", "nonsense", "timeout"],
)
def test_a_broken_reply_is_no_reply_and_the_request_is_not_sent_again(
    script: bytes | None,
) -> None:
    with asked(script, FINE) as (server, client):
        with pytest.raises(NoReply):
            client.ask("POST", "/charges", {}, b"{}")
        assert len([each for each in server.requests if each.startswith(b"POST")]) == 1
        assert client.ask("GET", "/", {}).status == 200


def test_a_redirect_is_a_reply() -> None:
    with asked(b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n") as (_, client):
        assert client.ask("GET", "/x", {}).status == 302


@pytest.mark.parametrize("length", [b"Content-Length: 9\r\n\r\n", b"\r\n"])
def test_an_endless_reply_is_no_reply(monkeypatch: pytest.MonkeyPatch, length: bytes) -> None:
    monkeypatch.setattr(exchanges, "MOST_BYTES", 3)
    with asked(b"HTTP/1.1 200 OK\r\n" + length + b"123456789CLOSE", FINE) as (_, client):
        with pytest.raises(NoReply):
            client.ask("GET", "/", {})
        assert client.ask("GET", "/", {}).body == b"{}"


def test_nobody_there_is_no_reply() -> None:
    with pytest.raises(NoReply):
        HttpExchanges(f"http://127.0.0.1:{free_port()}", 1.0).ask("GET", "/", {})


def _said_goodbye(client: HttpExchanges) -> bool:
    connection = client._own.connection
    return connection.sock is None or exchanges._has_something_to_say(connection.sock.fileno())
