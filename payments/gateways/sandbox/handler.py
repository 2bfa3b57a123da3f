"""One connection to the sandbox: reads requests within bounds, delivers or withholds answers."""

import socket
import struct
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from payments.gateways.sandbox import answers
from payments.gateways.sandbox.answers import Answer, Delivery
from payments.gateways.sandbox.api import Request

if TYPE_CHECKING:
    from payments.gateways.sandbox.server import Server

MAX_BODY = 64 * 1024
_MAX_DRAINED = 1024 * 1024
_DRAIN_SECONDS = 2.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, zero seconds


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30.0  # of one read or write; the server bounds the whole of a request
    server: "Server"

    def handle_one_request(self) -> None:
        self.server.expect_request(self.connection)
        super().handle_one_request()

    def do_GET(self) -> None:
        body = self._read_body()
        if isinstance(body, Answer):
            self._refuse(body)
            return
        with self.server.serving(self.connection):
            request = Request(self.command, self.path, self._joined_headers(), body)
            answer = self.server.api.answer(request)
            if answer.delivery is Delivery.REPLY:
                self._reply(answer)
                return
        self._withhold(answer.delivery)

    do_POST = do_GET

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """The standard library's verdict on a request, in our shape and without an echo of it."""
        if code == 501:
            self._refuse(answers.invalid("method_not_allowed", "Use GET or POST.", 405))
        else:
            status = code if 400 <= code < 500 else 400
            self._refuse(answers.invalid("request_malformed", "This is not valid HTTP.", status))

    def log_message(self, format: str, *args: Any) -> None:
        """No access log: the ledger says what happened."""

    def _read_body(self) -> bytes | Answer:
        """The body, or the answer to a request whose body can't or need not be read."""
        lengths = self.headers.get_all("Content-Length", ["0"])
        if "Transfer-Encoding" in self.headers or len(lengths) != 1:
            return answers.invalid("length_required", "Send one Content-Length.", 411)
        if not (lengths[0].isascii() and lengths[0].isdecimal() and len(lengths[0]) < 19):
            return answers.invalid("length_invalid", "Content-Length is not a number.")
        length = int(lengths[0])
        if length > MAX_BODY:
            return answers.invalid("body_too_large", f"A body has {MAX_BODY} bytes at most.", 413)
        body = self.rfile.read(length)
        if len(body) < length:
            return answers.invalid("body_incomplete", "The body ended early.")
        return body

    def _joined_headers(self) -> dict[str, str]:
        joined: dict[str, str] = {}
        for name, value in self.headers.items():
            name = name.lower()
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
        return joined

    def _reply(self, answer: Answer) -> None:
        body = answer.body.encode()
        if self.server.stopping.is_set():
            self.close_connection = True
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close" if self.close_connection else "keep-alive",
            **dict(answer.headers),
        }
        lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        # Head and body leave in one segment: two would wait for each other's acknowledgement.
        self.wfile.write("\r\n".join([*lines, "", ""]).encode() + body)

    def _refuse(self, answer: Answer) -> None:
        """Answer and close; unread input would turn the close into a reset that eats the answer."""
        self.close_connection = True
        self._reply(answer)
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(_DRAIN_SECONDS)
        left = _MAX_DRAINED
        while left > 0 and (data := self.connection.recv(65536)):
            left -= len(data)

    def _withhold(self, delivery: Delivery) -> None:
        """What was done is committed; the client is left without an answer."""
        self.close_connection = True
        if delivery is Delivery.HANG:
            self.server.stopping.wait(self.server.hang_seconds)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
