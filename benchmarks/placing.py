"""Places orders over HTTP, each connection kept open, at little cost of its own."""

import contextlib
import http.client
import json
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


@contextlib.contextmanager
def placing(port: int, token: str) -> Iterator[Callable[[], str]]:
    """A call that places one order and returns its id; raises RuntimeError if it is refused."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Authorization": token, "Content-Type": "application/json"}

    def place() -> str:
        connection.request("POST", "/api/orders", BODY, headers)
        reply = connection.getresponse()
        answer = reply.read()
        if reply.status != 201:
            raise RuntimeError(f"{reply.status}: {answer[:500]!r}")
        return str(json.loads(answer)["order_id"])

    try:
        yield place
    finally:
        connection.close()
