"""Where PostgreSQL differs from CockroachDB for everybody who asks Django."""

from django_cockroachdb.features import DatabaseFeatures as CockroachDatabaseFeatures


class DatabaseFeatures(CockroachDatabaseFeatures):
    """CockroachDB's features, on PostgreSQL."""

    minimum_database_version = (16,)
    nulls_order_largest = True
