"""Cuts off clients that are too slow, in a worker process of the web server.

The server gives a request to a thread when its headers are there. The thread then waits for the
body as long as the connection lasts, and likewise for the client to take a file: as many such
clients as there are threads would stop everything. The server limits neither, and tells of a
connection only the client's address; so it is found among the process' own sockets. Linux only.
"""

import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any

log = logging.getLogger(__name__)

BODY_SECONDS = 10
# How long a client may take nothing of what is sent to it.
UNTAKEN_SECONDS = 20
LOOK_SECONDS = 0.5
# Where the kernel's tcp_info has the milliseconds since data was last sent; linux/tcp.h.
_LAST_DATA_SENT = 44


class BodyCutShort(OSError):
    """The body ended before its Content-Length."""


class Body:
    """`wsgi.input` of a request with a Content-Length; Django asks for no more than that."""

    def __init__(self, environ: dict[str, Any], waiting: "set[Body]") -> None:
        self.client = (environ["REMOTE_ADDR"], int(environ["SERVER_PORT"]))
        self.since = 0.0
        self._body = environ["wsgi.input"]
        self._waiting = waiting
        self.readline = self._body.readline  # wanted by Django, which has no use for it

    def read(self, size: int) -> bytes:
        """So many bytes.

        Raises:
            BodyCutShort: the client was too slow, or went away.
        """
        self.since = self.since or time.monotonic()
        self._waiting.add(self)
        try:
            data: bytes = self._body.read(size)
        finally:
            self._waiting.discard(self)
        if len(data) < size:
            raise BodyCutShort
        return data


class SlowClients:
    """Knows the bodies that threads wait for, and ends the waits that are too long."""

    def __init__(self) -> None:
        self._waiting: set[Body] = set()

    def watch(self) -> None:
        """Look after them from now on, in a thread of its own."""
        threading.Thread(target=self._watch, name="slow clients", daemon=True).start()

    def body(self, environ: dict[str, Any]) -> Body:
        """The body of a request, to be read instead of `wsgi.input`."""
        return Body(environ, self._waiting)

    def late(self, now: float) -> set[tuple[str, int]]:
        """Whose body is too long in coming, at a moment of the monotonic clock: the addresses of
        the clients, each with the port of ours that it is connected to.
        """
        return {body.client for body in list(self._waiting) if now - body.since > BODY_SECONDS}

    def _watch(self) -> None:
        limited = 0
        while True:
            time.sleep(LOOK_SECONDS)
            late = self.late(time.monotonic())
            try:
                limited = limited or limit_untaken()  # none until the server listens
                number = shut_down(late) if late else 0
            except OSError as error:
                log.error("Slow clients can't be cut off: %s", error)
                continue
            if number:
                addresses = ", ".join(sorted({address for address, _ in late}))
                log.warning("Cut off for slow bodies: %d, from %s", number, addresses)


def shut_down(clients: Collection[tuple[str, int]]) -> int:
    """Shut down their connections that have been given nothing for as long as a body may take.

    An address may be that of a proxy, with the connections of others: those are given answers, or
    are closed by the server for being idle. How many there were.
    """
    number = 0
    for each in _own_sockets():
        with suppress(OSError):  # not connected, or no TCP
            match each.getpeername():
                case (str(address), *_) if (address, each.getsockname()[1]) in clients:
                    if _seconds_since_sent(each) > BODY_SECONDS:
                        each.shutdown(socket.SHUT_RDWR)
                        number += 1
    return number


def limit_untaken() -> int:
    """Have the kernel end connections to come that don't take what is sent; of how many ports."""
    number = 0
    for each in _own_sockets():
        with suppress(OSError):
            if each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                milliseconds = UNTAKEN_SECONDS * 1000
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
                number += 1
    return number


def _own_sockets() -> Iterator[socket.socket]:
    """Copies of this process' own, and of its other files, which are none; each for its turn."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # closed meanwhile
            one = socket.fromfd(int(name), socket.AF_INET, socket.SOCK_STREAM)
            with one:
                yield one


def _seconds_since_sent(connection: socket.socket) -> float:
    """Since data was last sent on it; since it began, if none was."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    (milliseconds,) = struct.unpack_from("=I", info, _LAST_DATA_SENT)
    return float(milliseconds / 1000)
