"""The sandbox's listener: a thread per connection, bounded in number and time."""

import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from payments.gateways.sandbox.api import Api
from payments.gateways.sandbox.handler import Handler

MAX_CONNECTIONS = 256
REQUEST_SECONDS = 30.0  # for a whole request to arrive, idle time before it included
_BUSY_BODY = b'{"error": {"type": "api_error", "code": "busy", "message": "Too many connections."}}'
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_BUSY_BODY), _BUSY_BODY)
)


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Once `stopping` is set, hanging requests end and every answer closes its connection."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, api: Api, hang_seconds: float, stopping: threading.Event) -> None:
        self.api = api
        self.hang_seconds = hang_seconds
        self.stopping = stopping
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._state = threading.Condition()
        self._deadlines: dict[socket.socket, float] = {}
        self._serving = 0
        super().__init__(("127.0.0.1", port), Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def expect_request(self, connection: socket.socket) -> None:
        with self._state:
            self._deadlines[connection] = time.monotonic() + REQUEST_SECONDS

    @contextmanager
    def serving(self, connection: socket.socket) -> Iterator[None]:
        with self._state:
            self._deadlines.pop(connection, None)
            self._serving += 1
        try:
            yield
        finally:
            with self._state:
                self._serving -= 1
                self._state.notify_all()

    def drain(self, seconds: float) -> None:
        """Wait until no request is being served, at most so long."""
        with self._state:
            self._state.wait_for(lambda: self._serving == 0, seconds)

    def service_actions(self) -> None:
        """Twice a second: hang up on whoever takes too long to send a request."""
        now = time.monotonic()
        with self._state:
            late = [connection for connection, end in self._deadlines.items() if end < now]
        for connection in late:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._slots.acquire(blocking=False):
            request.setblocking(False)
            with suppress(OSError):
                request.send(_BUSY)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread to be had
            self._slots.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._state:
                self._deadlines.pop(request, None)
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
