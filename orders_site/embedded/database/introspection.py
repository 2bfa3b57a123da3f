"""What PostgreSQL's catalogue names otherwise than CockroachDB's."""

from django_cockroachdb.introspection import DatabaseIntrospection as CockroachIntrospection


class DatabaseIntrospection(CockroachIntrospection):
    """CockroachDB's introspection, on PostgreSQL."""

    index_default_access_method = "btree"
