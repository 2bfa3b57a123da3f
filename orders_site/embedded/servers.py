"""The embedded servers together, in the order in which they start, for `manage.py up` and tests."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from orders_site.embedded.credentials import Credentials, load_or_create
from orders_site.embedded.nats import EmbeddedNats
from orders_site.embedded.postgres import EmbeddedPostgres
from orders_site.embedded.valkey import EmbeddedValkey

NAMES = ("postgres", "nats", "valkey")


@dataclass(frozen=True)
class EmbeddedServers:
    """The servers of one data folder; None for one that was not wanted."""

    credentials: Credentials
    postgres: EmbeddedPostgres | None
    nats: EmbeddedNats | None
    valkey: EmbeddedValkey | None


@contextmanager
def running(
    data_dir: Path,
    *,
    nats_port: int,
    valkey_port: int,
    streams: Sequence[str] = ("ORDERS",),
    databases: Sequence[str] = (),
    wanted: Collection[str] = NAMES,
    durable: bool = True,
) -> Iterator[EmbeddedServers]:
    """Run the `wanted` servers, with `databases` in Postgres, for as long as the context is open.

    They start in order and stop in the reverse one, also when one fails to start.
    """
    secrets = load_or_create(data_dir)
    servers = EmbeddedServers(
        secrets,
        EmbeddedPostgres(data_dir, durable=durable) if "postgres" in wanted else None,
        EmbeddedNats(data_dir, nats_port, secrets, streams) if "nats" in wanted else None,
        EmbeddedValkey(data_dir, valkey_port, secrets) if "valkey" in wanted else None,
    )
    with ExitStack() as stack:
        for server in (servers.postgres, servers.nats, servers.valkey):
            if server is not None:
                server.start()
                stack.callback(server.stop)
        if servers.postgres is not None:
            for database in databases:
                servers.postgres.create_database(database)
        yield servers
