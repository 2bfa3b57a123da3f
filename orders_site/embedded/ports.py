"""TCP ports of this machine: whether one is free, who has it, where it is reached."""

import socket
from collections.abc import Mapping, Sequence
from typing import Protocol

from orders_site.embedded.process import EmbeddedServerError, ServerProcess


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def web_address(host: str, port: int) -> str:
    """Where a web server that listens on `host` is reached from this machine."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - told apart, not bound
    reached = everywhere.get(host, host)
    return f"http://{f'[{reached}]' if ':' in reached else reached}:{port}"


def owner_of(port: int) -> str:
    """Who listens on `port`, such as "pid 123 python"; "unknown" where the system does not tell."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            if listens and connection.pid:
                return f"pid {connection.pid} {psutil.Process(connection.pid).name()}"
    except psutil.Error:
        pass
    return "unknown"


class Listening(Protocol):
    """What listens on ports, each given with the setting that gives it another."""

    @property
    def ports(self) -> Mapping[int, str]: ...

    @property
    def process(self) -> ServerProcess: ...


def refuse_taken(ports: Mapping[int, str]) -> None:
    """Raise EmbeddedServerError if ports of 127.0.0.1 are taken, with a line for each.

    Each comes with what the user can set to take another.
    """
    if problems := list(filter(None, map(_problem, ports, ports.values()))):
        raise EmbeddedServerError("\n".join(problems))


def refuse_taken_by_others(parts: Sequence[Listening]) -> None:
    """Raise EmbeddedServerError naming all ports that the parts can't have, before any is started.

    What a killed supervisor left on one is stopped; if its supervisor is alive, that is said.
    """
    given: dict[int, str] = {}
    problems = []
    for part in reversed(parts):
        for port, setting in part.ports.items():
            if port in given:
                problems.append(f"port {port} is given by both {setting} and {given[port]}")
            elif _problem(port, setting):
                part.process.stop_left_over()
            given[port] = setting
    problems += filter(None, map(_problem, given, given.values()))
    if problems:
        raise EmbeddedServerError("\n".join(reversed(problems)))


def _problem(port: int, setting: str) -> str:
    """Why a port can't be had; empty if it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return (
                f"port {port} is taken by another program ({owner_of(port)}): "
                f"stop it, or set {setting} to another"
            )
    return ""
