"""The DDL that PostgreSQL wants otherwise than CockroachDB."""

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django_cockroachdb.schema import DatabaseSchemaEditor as CockroachSchemaEditor


class DatabaseSchemaEditor(CockroachSchemaEditor):
    """CockroachDB's DDL, on PostgreSQL."""

    # PostgreSQL does not drop the index of a constraint without the constraint.
    sql_delete_unique = BaseDatabaseSchemaEditor.sql_delete_unique

    def _alter_column_type_sql(self, model, old_field, new_field, *args):
        self.sql_alter_column_type = BaseDatabaseSchemaEditor.sql_alter_column_type
        self.sql_alter_column_type += self._using_sql(new_field, old_field)
        return super()._alter_column_type_sql(model, old_field, new_field, *args)
