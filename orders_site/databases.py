"""The database of each context: its name, the variable that gives its URL, its Django settings."""

from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from psycopg import IsolationLevel

from orders_site.embedded.postgres import url as embedded_url
from orders_site.environment import Environment

CONTEXT_DATABASES = {
    "default": "orders",
    "eventstore": "eventstore",
    "payments": "payments",
    "restaurant": "restaurant",
    "queries": "queries",
}
ENGINES = {
    "cockroachdb": "django_cockroachdb",
    "postgresql": "orders_site.embedded.database",
    "postgres": "orders_site.embedded.database",
}


def url_variable(alias: str) -> str:
    """The environment variable, without its prefix, that gives a context's database URL."""
    return "DATABASE_URL" if alias == "default" else f"{alias.upper()}_DATABASE_URL"


def embedded_databases(env: Environment) -> list[str]:
    """The names of the databases whose URL the environment does not give."""
    return [name for alias, name in CONTEXT_DATABASES.items() if not env.given(url_variable(alias))]


def database_settings(
    alias: str,
    env: Environment,
    data_dir: Path,
    *,
    statement_timeout_seconds: float,
    lock_timeout_seconds: float,
    connect_timeout_seconds: float,
) -> dict[str, Any]:
    """Django's settings of one context's database: the given URL, else the embedded server's."""
    parts = _given_url(alias, env) or urlsplit(embedded_url(data_dir, CONTEXT_DATABASES[alias]))
    engine = ENGINES[parts.scheme]
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    host = options.pop("host", parts.hostname or "")
    port = options.pop("port", parts.port or "")
    variables = {
        "statement_timeout": f"{statement_timeout_seconds}s",
        "lock_timeout": f"{lock_timeout_seconds}s",
        # A server of the log that vanishes in mid-transaction keeps all others from its head; its
        # own statements follow one another at once.
        "idle_in_transaction_session_timeout": "5s" if alias == "eventstore" else "60s",
        **_planning(alias, engine),
    }
    options |= {
        "isolation_level": _isolation(alias, engine),
        "connect_timeout": int(connect_timeout_seconds),
        # A partition without a reset is noticed in seconds, not when the kernel gives up: together
        # with the next connection's timeout within 15 (tests/chaos/test_partition.py).
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "tcp_user_timeout": 8_000,
        "application_name": f"orders {alias}",
        # For cursors that bind on the server, which the ORM's do not.
        "prepare_threshold": 5,
        "options": " ".join(
            [
                *([options["options"]] if "options" in options else []),
                *(f"-c {name}={value}" for name, value in variables.items()),
            ]
        ),
    }
    if alias == "eventstore":
        # The store's few statements are prepared once and take their arrays in binary.
        options |= {"server_side_binding": True}
    return {
        "ENGINE": engine,
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(port),
        "CONN_MAX_AGE": None,
        # The event store runs a read or an append again when its connection turns out to be lost.
        "CONN_HEALTH_CHECKS": alias != "eventstore",
        "OPTIONS": options,
    }


def _given_url(alias: str, env: Environment) -> SplitResult | None:
    """The URL that the environment gives; None, with the problem noted, if it can't be used."""
    variable = url_variable(alias)
    text: str = env.str(variable, default="")
    if not text:
        return None
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        # Its words may have a part of the password in them.
        env.problems.append(f"ORDERS_{variable} is no URL; is a sign in its password unescaped?")
        return None
    if parts.scheme not in ENGINES:
        env.problems.append(f"ORDERS_{variable} starts with cockroachdb:// or postgresql://.")
        return None
    if not parts.path.strip("/"):
        env.problems.append(f"ORDERS_{variable} ends with the name of a database.")
        return None
    return parts


def _planning(alias: str, engine: str) -> dict[str, str]:
    """Keep PostgreSQL from planning a prepared statement while its table is small, and then
    scanning all of the table for as long as the connection lives.
    """
    if engine == ENGINES["cockroachdb"]:
        return {}
    if alias == "eventstore":
        # All of its statements have an index, and planning each anew would cost more than running.
        return {"enable_seqscan": "off"}
    return {"plan_cache_mode": "force_custom_plan"}


def _isolation(alias: str, engine: str) -> IsolationLevel:
    # Both lock the rows they decide on, in order; at SERIALIZABLE PostgreSQL would give each
    # waiter for such a lock a 40001 (docs/decisions/0002).
    if alias in ("eventstore", "queries") and engine != ENGINES["cockroachdb"]:
        return IsolationLevel.READ_COMMITTED
    return IsolationLevel.SERIALIZABLE
