"""The database role of the event store: it may add events and read them, and nothing else."""

from collections.abc import Iterator

from django.db import connections
from psycopg import sql

# What the role may do with each table; REVOKE takes everything else away. Statements that
# PostgreSQL and CockroachDB share.
_RIGHTS = {
    "eventstore_event": ("SELECT", "INSERT"),
    "eventstore_stream": ("SELECT", "INSERT", "UPDATE"),
}
_FORBIDDEN = {"eventstore_event": ("UPDATE", "DELETE"), "eventstore_stream": ("DELETE",)}
_ROLE = "SELECT rolsuper FROM pg_roles WHERE rolname = %s"
_OWNS = """
SELECT count(*) FROM pg_class
WHERE relname IN ('eventstore_event', 'eventstore_stream') AND pg_has_role(%s, relowner, 'MEMBER')
"""


class CannotGrant(Exception):
    """The role can't be the event store's writer; in words for the operator."""


def statements(role: str) -> Iterator[sql.Composed]:
    """The SQL that gives the role its rights and takes all others from it."""
    name = sql.Identifier(role)
    yield sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(name)
    for table, rights in _RIGHTS.items():
        at = sql.Identifier(table)
        yield sql.SQL("REVOKE ALL ON {} FROM {}").format(at, name)
        granted = sql.SQL(", ").join(map(sql.SQL, rights))
        yield sql.SQL("GRANT {} ON {} TO {}").format(granted, at, name)


def grant(role: str, alias: str = "eventstore") -> None:
    """Make an existing role the writer; may be repeated.

    Raises:
        CannotGrant: no such role, or it could do more whatever is granted.
        django.db.Error: the database refuses.
    """
    with connections[alias].cursor() as cursor:
        cursor.execute(_ROLE, [role])
        found = cursor.fetchone()
        if found is None:
            raise CannotGrant(f"there is no role {role}; make it with CREATE ROLE ... LOGIN")
        cursor.execute(_OWNS, [role])
        if found[0] or cursor.fetchone()[0]:
            raise CannotGrant(
                f"{role} is a superuser or owns the tables, so it may do everything whatever is "
                f"granted; make another role for the event store"
            )
        for statement in statements(role):
            cursor.execute(statement)
        for table, rights in _FORBIDDEN.items():
            for right in rights:
                cursor.execute("SELECT has_table_privilege(%s, %s, %s)", [role, table, right])
                if cursor.fetchone()[0]:
                    raise CannotGrant(
                        f"{role} still has {right} on {table}, by a role that it is a member of or "
                        f"by PUBLIC: take it away there"
                    )
