"""A proxy between a client and its server, on TCP or unix sockets, that does to chosen requests
what networks and dying machines do.
"""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import assert_never

Address = Path | tuple[str, int]
CHUNK = 64 * 1024
REPLY_SECONDS = 5.0


class Fate(Enum):
    """What becomes of a request, as a chunk that the client sent."""

    PASS = "it passes"
    DELAY = "it passes a little later"
    CUT_BEFORE = "the connection breaks before the server got it"
    CUT_AT_ONCE = "the server gets it and the connection breaks, whatever it is doing then"
    CUT_AFTER = "the server answers, and the connection breaks before the client heard"
    SWALLOW = "the server answers into the void for a while, then the connection breaks"
    HALF_CLOSE = "the server answers, the client sees the end of what it can read"


TROUBLE = tuple(fate for fate in Fate if fate is not Fate.PASS)
# Those after which a request may have taken effect without its sender knowing.
IN_DOUBT = (Fate.CUT_AT_ONCE, Fate.CUT_AFTER, Fate.SWALLOW, Fate.HALF_CLOSE)
Judge = Callable[[bytes], Fate]


class Proxy:
    """Passes on what `judge` lets pass; ask for `fates` to know what it did.

    Args:
        listen: where clients come; a path is a unix socket, a socket listens already.
        server: where they are led to.
        judge: called with every chunk that a client sent, by one thread per connection.
        delay_seconds: of DELAY, and how long SWALLOW keeps the client waiting.
    """

    def __init__(
        self,
        listen: Address | socket.socket,
        server: Address,
        judge: Judge,
        *,
        delay_seconds: float = 0.05,
    ) -> None:
        self.fates: Counter[Fate] = Counter()
        self._server = server
        self._judge = judge
        self._delay = delay_seconds
        self._links: list[_Link] = []
        self._listener = listen if isinstance(listen, socket.socket) else _listening(listen)
        self.address = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = _connected(self._server)
                except OSError:
                    client.close()
                    continue
                self._links = [link for link in self._links if not link.closed]
                self._links.append(_Link(client, server, self._decide, self._delay))

    def _decide(self, chunk: bytes) -> Fate:
        fate = self._judge(chunk)
        self.fates[fate] += 1
        return fate

    def cut_all(self) -> None:
        """Break every connection."""
        for link in self._links:
            link.cut()

    def close(self) -> None:
        _end(self._listener)
        self.cut_all()


class _Link:
    """One client's connection and the one to the server behind it."""

    def __init__(
        self, client: socket.socket, server: socket.socket, judge: Judge, delay: float
    ) -> None:
        self.closed = False
        self._client, self._server = client, server
        self._judge, self._delay = judge, delay
        self._deaf = threading.Event()
        self._heard = threading.Event()
        for work in (self._upwards, self._downwards):
            threading.Thread(target=work, daemon=True).start()

    def cut(self) -> None:
        self.closed = True
        _end(self._client)
        _end(self._server)

    def _upwards(self) -> None:
        with suppress(OSError):
            while (chunk := self._client.recv(CHUNK)) and self._pass_on(chunk):
                pass
        self.cut()

    def _pass_on(self, chunk: bytes) -> bool:
        """Let the chunk meet its fate; whether the connection survives it."""
        fate = self._judge(chunk)
        match fate:
            case Fate.PASS:
                self._server.sendall(chunk)
                return True
            case Fate.DELAY:
                time.sleep(self._delay)
                self._server.sendall(chunk)
                return True
            case Fate.CUT_BEFORE:
                return False
            case Fate.CUT_AT_ONCE:
                self._server.sendall(chunk)
                return False
            case Fate.CUT_AFTER:
                self._send_deaf(chunk)
                return False
            case Fate.SWALLOW:
                self._send_deaf(chunk)
                time.sleep(self._delay)
                return False
            case Fate.HALF_CLOSE:
                self._send_deaf(chunk)
                self._client.shutdown(socket.SHUT_WR)
                self._client.recv(CHUNK)
                return False
        assert_never(fate)

    def _send_deaf(self, chunk: bytes) -> None:
        """Pass it on and wait for the answer, of which the client hears nothing."""
        self._deaf.set()
        self._server.sendall(chunk)
        self._heard.wait(REPLY_SECONDS)

    def _downwards(self) -> None:
        with suppress(OSError):
            while chunk := self._server.recv(CHUNK):
                if self._deaf.is_set():
                    self._heard.set()
                else:
                    self._client.sendall(chunk)
        self.cut()


@contextmanager
def proxied(
    listen: Address, server: Address, judge: Judge, *, delay_seconds: float = 0.05
) -> Iterator[Proxy]:
    """A proxy, for as long as the context is open."""
    proxy = Proxy(listen, server, judge, delay_seconds=delay_seconds)
    try:
        yield proxy
    finally:
        proxy.close()


def _listening(address: Address) -> socket.socket:
    if isinstance(address, tuple):
        return socket.create_server(address)
    address.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(address))
    listener.listen(64)
    return listener


def _connected(address: Address) -> socket.socket:
    if isinstance(address, tuple):
        return socket.create_connection(address, timeout=None)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.connect(str(address))
    return server


def _end(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
