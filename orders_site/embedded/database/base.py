"""django-cockroachdb's backend on PostgreSQL: its SQL, with what only a CockroachDB understands
replaced. ENGINE = "orders_site.embedded.database".
"""

from django.db.backends.postgresql.base import DatabaseWrapper as PostgresDatabaseWrapper
from django.db.backends.postgresql.client import DatabaseClient
from django_cockroachdb.base import DatabaseWrapper as CockroachDatabaseWrapper

from orders_site.embedded.database.features import DatabaseFeatures
from orders_site.embedded.database.introspection import DatabaseIntrospection
from orders_site.embedded.database.operations import DatabaseOperations
from orders_site.embedded.database.rowid import create_unique_rowid
from orders_site.embedded.database.schema import DatabaseSchemaEditor


class DatabaseWrapper(CockroachDatabaseWrapper):
    """A connection to PostgreSQL; its vendor stays "cockroachdb"."""

    display_name = "PostgreSQL (CockroachDB dialect)"
    # CockroachDB's `integer` has 64 bits.
    data_types = CockroachDatabaseWrapper.data_types | {
        "AutoField": "bigint",
        "BigAutoField": "bigint",
        "IntegerField": "bigint",
        "OneToOneField": "bigint",
        "PositiveIntegerField": "bigint",
    }
    client_class = DatabaseClient
    features_class = DatabaseFeatures
    introspection_class = DatabaseIntrospection
    ops_class = DatabaseOperations
    SchemaEditorClass = DatabaseSchemaEditor
    # Newer than every workaround for an older CockroachDB that the dialect knows.
    cockroachdb_version = (99, 0, 0)

    def get_database_version(self):
        return PostgresDatabaseWrapper.get_database_version(self)

    def init_connection_state(self):
        # CockroachDB's telemetry query is left out.
        PostgresDatabaseWrapper.init_connection_state(self)

    def prepare_database(self):
        """Called by `migrate`, so also for test databases."""
        super().prepare_database()
        create_unique_rowid(self)
