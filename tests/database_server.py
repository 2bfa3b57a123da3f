"""The database server of a test run: the embedded PostgreSQL, or that of `--database-url`."""

import atexit
import sys
from argparse import ArgumentParser
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from psycopg.sql import SQL, Identifier

from orders_site.databases import CONTEXT_DATABASES, url_variable

OPTION = "--database-url"
HELP = (
    "run the tests on this server, such as cockroachdb://root@127.0.0.1:26257/?sslmode=disable, "
    "instead of the embedded PostgreSQL; what drives the embedded one itself still does"
)


@dataclass(frozen=True)
class GivenServer:
    """A server that was there before the tests; they make databases of their own on it."""

    address: str

    def url(self, database: str) -> str:
        """The URL of a database, for the product."""
        return urlunsplit(urlsplit(self.address)._replace(path=f"/{database}"))

    def session(self, database: str = "postgres") -> psycopg.Connection:
        """A session of the tests' own; both kinds of server have a database of that name."""
        url = urlunsplit(urlsplit(self.url(database))._replace(scheme="postgresql"))
        return psycopg.connect(url, autocommit=True)

    def environment(self, prefix: str = "") -> dict[str, str]:
        """The product's variables for databases whose names start so."""
        return {
            f"ORDERS_{url_variable(alias)}": self.url(f"{prefix}{name}")
            for alias, name in CONTEXT_DATABASES.items()
        }

    def own_databases(self) -> dict[str, str]:
        """New databases for one system, dropped when the run ends; the product's variables."""
        prefix = f"test_{uuid4().hex[:12]}_"
        with self.session() as session:
            for name in CONTEXT_DATABASES.values():
                session.execute(SQL("CREATE DATABASE {}").format(Identifier(f"{prefix}{name}")))
        atexit.register(self._drop, prefix)
        return self.environment(prefix)

    def _drop(self, prefix: str) -> None:
        with self.session() as session:
            for name in CONTEXT_DATABASES.values():
                session.execute(SQL("DROP DATABASE {}").format(Identifier(f"{prefix}{name}")))


def given() -> GivenServer | None:
    """The server of the command line, which settings need before pytest has read its options."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(OPTION, default="")
    url = parser.parse_known_args(sys.argv[1:])[0].database_url
    return GivenServer(url) if url else None
