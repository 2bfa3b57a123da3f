"""A wire between a client and a server that can be cut without a word: a network namespace, and a
pair of virtual Ethernet devices between it and everything else. Root only.
"""

import ctypes
import itertools
import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from enum import Enum
from pathlib import Path
from typing import assert_never

import pytest

from tests.chaos.plan import Plan
from tests.chaos.proxy import Address, Fate, Proxy

CLONE_NEWNET = 0x40000000
NUMBERS = itertools.count()
HERE_MAC, THERE_MAC, NOBODY_MAC = (f"02:00:00:00:00:0{n}" for n in (1, 2, 9))


class Partition(Enum):
    """What a wire can suffer. Nobody is told: no connection is reset, none is refused."""

    SILENT = "what is sent either way goes nowhere"
    ONE_WAY = "the server hears, its answers go nowhere"
    UNPLUGGED = "the server's device is down"


class Wire:
    """Between this process and its children here, and a server's address over there.

    Args:
        server: where connections to `address` are led to, past the wire.
    """

    def __init__(self, stack: ExitStack, server: Address) -> None:
        number = os.getpid() % 4096 * 16 + next(NUMBERS) % 16
        self._place, self._device = f"orders-{number}", f"orders{number}"
        # From the range for tests of networks (RFC 2544), four addresses to a wire.
        prefix = f"198.{18 + number // 16384 % 2}.{number // 64 % 256}.{number % 64 * 4}"
        begin, _, end = prefix.rpartition(".")
        self._here, self._there = (f"{begin}.{int(end) + n}" for n in (1, 2))
        self._lay(stack)
        proxy = Proxy(self._listener(), server, lambda chunk: Fate.PASS)
        stack.callback(proxy.close)
        self.address: tuple[str, int] = proxy.address

    def cut(self, kind: Partition) -> None:
        """Begin a partition; `heal` ends it."""
        match kind:
            case Partition.SILENT:
                self._aim(NOBODY_MAC, NOBODY_MAC)
            case Partition.ONE_WAY:
                self._aim(THERE_MAC, NOBODY_MAC)
            case Partition.UNPLUGGED:
                self._over_there("link", "set", self._device, "down")
            case _:
                assert_never(kind)

    def heal(self) -> None:
        """All that is sent from now on arrives; what was lost meanwhile stays lost."""
        self._over_there("link", "set", self._device, "up")
        self._aim(THERE_MAC, HERE_MAC)

    def _lay(self, stack: ExitStack) -> None:
        _ip("netns", "add", self._place)
        stack.callback(_ip, "netns", "del", self._place)
        ends = ("address", HERE_MAC, "type", "veth", "peer", "name", self._device)
        _ip("link", "add", self._device, *ends, "address", THERE_MAC, "netns", self._place)
        # The namespace, and with it the pair, would live as long as a connection over there.
        stack.callback(_ip, "link", "del", self._device)
        _ip("addr", "add", f"{self._here}/30", "dev", self._device)
        _ip("link", "set", self._device, "up")
        self._over_there("addr", "add", f"{self._there}/30", "dev", self._device)
        self.heal()

    def _aim(self, from_here: str, from_there: str) -> None:
        """Which Ethernet addresses either side sends to; who has another one takes nothing."""
        rest = ("dev", self._device, "nud", "permanent")
        _ip("neigh", "replace", self._there, "lladdr", from_here, *rest)
        self._over_there("neigh", "replace", self._here, "lladdr", from_there, *rest)

    def _over_there(self, *words: str) -> None:
        _ip("-n", self._place, *words)

    def _listener(self) -> socket.socket:
        """A socket over there; it stays there, whoever uses it."""
        with ThreadPoolExecutor(1) as other:
            return other.submit(self._listen_there).result()

    def _listen_there(self) -> socket.socket:
        with Path("/var/run/netns", self._place).open() as place:
            if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        return socket.create_server((self._there, 0))


@contextmanager
def wires_for(chaos: Plan) -> Iterator["Wires"]:
    """Wires that last as long as the context."""
    with ExitStack() as stack:
        yield Wires(stack, chaos)


class Wires:
    """Makes wires; the test is skipped, and says so, where there can't be any."""

    def __init__(self, stack: ExitStack, chaos: Plan) -> None:
        self._stack, self._chaos = stack, chaos

    def to(self, server: Address) -> Wire:
        """A new wire to that server."""
        try:
            return Wire(self._stack, server)
        except (OSError, subprocess.CalledProcessError) as problem:
            self._chaos.tell(f"not run, as it needs root and network namespaces: {problem}")
            pytest.skip("not run: it needs root and network namespaces")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)
