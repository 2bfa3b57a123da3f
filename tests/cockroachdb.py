"""What CockroachDB refuses, or takes for something else: found in the SQL that is sent."""

import re
from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from orders_site.embedded.database import rowid

LACKS = {
    "deferrable constraint": r"\bDEFERRABLE\b",
    "advisory lock": r"\bpg_(try_)?advisory",
    "LISTEN or NOTIFY": r"\b(LISTEN|NOTIFY|pg_notify)\b",
    "xmin": r"\bxmin\b",
    "TRUNCATE": r"\bTRUNCATE\b",
    "statement-level trigger": r"\bFOR EACH STATEMENT\b|CREATE TRIGGER(?![^;]*FOR EACH ROW)",
    "serial column": r"\b(BIG)?SERIAL\b",
}
# Django empties tables between tests with it, and CockroachDB has it; only triggers on it are
# lacking.
_SENT = re.compile(
    "|".join(f"(?:{LACKS[name]})" for name in LACKS if name != "TRUNCATE"), re.I | re.S
)


class SentStatements:
    """Looks through every statement that goes over Django's connections."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self._seen: set[str] = set()

    def watch(self, connection: BaseDatabaseWrapper, **signal: Any) -> None:
        """Receives Django's `connection_created`."""
        if self._look not in connection.execute_wrappers:
            connection.execute_wrappers.append(self._look)

    def _look(self, run: Callable, sql: Any, params: Any, many: bool, context: Any) -> Any:
        # What makes an embedded PostgreSQL resemble CockroachDB is never sent to one.
        if isinstance(sql, str) and sql not in self._seen and sql != rowid.CREATE:
            self._seen.add(sql)
            if _SENT.search(sql):
                self.refused.add(sql[:500])
        return run(sql, params, many, context)
