"""TCP ports of this machine: whether one is free, who has it, where it is reached."""

import socket

from orders_site.embedded.process import EmbeddedServerError


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


def refuse_taken(port: int, setting: str) -> None:
    """Raise EmbeddedServerError if `port` of 127.0.0.1 is taken.

    `setting` names what the user can set to take another port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise EmbeddedServerError(
                f"port {port} is taken by another program ({owner_of(port)}): "
                f"stop it, or set {setting} to a free port"
            ) from error
