"""Places orders over HTTP, each connection kept open, at little cost of its own."""

import contextlib
import json
import re
import socket
from collections.abc import Callable, Iterator

BODY = json.dumps(
    {
        "customer_id": "ada",
        "restaurant_id": "pizza-roma",
        "order_items": [
            {"code": "M1", "name": "Margherita", "unit_price": "12.50", "quantity": 2},
            {"code": "W2", "name": "Water", "unit_price": "0.50", "quantity": 1},
        ],
    }
)
# Written out, as a load generator would: `http.client` takes several times the CPU, which whoever
# is measured on the same cores would lack.
REQUEST = """\
POST /api/orders HTTP/1.1\r
Host: 127.0.0.1:{port}\r
Authorization: {token}\r
Content-Type: application/json\r
Content-Length: {length}\r
\r
{body}"""
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ORDER_ID = re.compile(rb'"order_id": ?"([^"]+)"')
RECEIVED_BYTES = 64 * 1024


@contextlib.contextmanager
def placing(port: int, token: str) -> Iterator[Callable[[], str]]:
    """A call that places one order and returns its id; raises RuntimeError if it is refused."""
    request = REQUEST.format(port=port, token=token, length=len(BODY), body=BODY).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:

        def place() -> str:
            connection.sendall(request)
            answer = _answer(connection)
            status, order_id = _STATUS.match(answer), _ORDER_ID.search(answer)
            if status is None or status[1] != b"201" or order_id is None:
                raise RuntimeError(f"the order is refused: {answer[:500]!r}")
            return order_id[1].decode()

        yield place


def _answer(connection: socket.socket) -> bytes:
    """One answer, whole; raises RuntimeError if it ends early or does not tell its length."""
    received = b""
    while True:
        head, ended, body = received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head) if ended else None
        if ended and length is None:
            raise RuntimeError(f"an answer without a length: {head!r}")
        if length is not None and len(body) >= int(length[1]):
            return received
        part = connection.recv(RECEIVED_BYTES)
        if not part:
            raise RuntimeError(f"the connection ended after {received[:500]!r}")
        received += part
