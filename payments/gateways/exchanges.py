"""Requests to one HTTP server, from threads that keep a connection each."""

import select
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Protocol
from urllib.parse import urlsplit
from weakref import WeakSet

MOST_BYTES = 16 * 1024 * 1024


class NoReply(Exception):
    """The request got no whole reply; whether the server acted on it is not known."""


@dataclass(frozen=True)
class Reply:
    """`headers` has lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchanges(Protocol):
    """Asks an HTTP server."""

    def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Reply:
        """What the server replies to one request; redirects are replies.

        Raises:
            NoReply: reset, timeout, broken or endless reply.
        """
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class HttpExchanges:
    """`Exchanges` over HTTP/1.1; it never sends a request twice, and knows no proxies.

    A client library with pools, redirects and cookies does a lot more for the same request, and a
    reaction asks the gateway once for each order.

    Args:
        base_url: http or https, what targets are appended to.
        timeout_seconds: of each wait for the network.
    """

    def __init__(self, base_url: str, timeout_seconds: float) -> None:
        parts = urlsplit(base_url)
        kinds = {"http": HTTPConnection, "https": HTTPSConnection}
        if parts.scheme not in kinds or not parts.hostname:
            raise ValueError("a gateway's URL starts with http:// or https://")
        self._kind = kinds[parts.scheme]
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path.rstrip("/")
        self._timeout = timeout_seconds
        self._own = threading.local()
        self._opened: WeakSet[HTTPConnection] = WeakSet()

    def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Reply:
        """See `Exchanges.ask`."""
        connection = self._connection()
        try:
            connection.request(method, self._path + target, body, dict(headers))
            with connection.getresponse() as response:
                content = response.read(MOST_BYTES + 1)
        except (HTTPException, OSError) as error:
            connection.close()
            raise NoReply(f"{type(error).__name__} at {target.partition('?')[0]}") from error
        except BaseException:
            connection.close()
            raise
        if response.length or len(content) > MOST_BYTES:
            connection.close()
            raise NoReply("half a reply" if response.length else "an endless reply")
        names = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, names, content)

    def close(self) -> None:
        """See `Exchanges.close`; no request may be under way."""
        for connection in list(self._opened):
            connection.close()

    def _connection(self) -> HTTPConnection:
        """The thread's connection; one that the server has closed is opened anew when used."""
        connection: HTTPConnection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._kind(self._host, self._port, timeout=self._timeout)
            self._own.connection = connection
            self._opened.add(connection)
        elif connection.sock is not None and _has_something_to_say(connection.sock.fileno()):
            connection.close()
        return connection


def _has_something_to_say(descriptor: int) -> bool:
    """Between two requests that is a goodbye, or nothing that we asked for."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
