"""SQL fragments in which PostgreSQL's integer is too small."""

from django_cockroachdb.operations import DatabaseOperations as CockroachDatabaseOperations


class DatabaseOperations(CockroachDatabaseOperations):
    """CockroachDB's operations, on PostgreSQL."""

    cast_data_types = CockroachDatabaseOperations.cast_data_types | {"AutoField": "bigint"}
