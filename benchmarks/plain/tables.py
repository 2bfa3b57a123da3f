"""Makes the rivals' tables, which have no migrations."""

from django.apps import apps
from django.db import connections

from benchmarks.plain.router import APPS


def create_missing() -> None:
    """Create those that are not there."""
    connection = connections["plain"]
    present = set(connection.introspection.table_names())
    for config in apps.get_app_configs():
        if config.label not in APPS:
            continue
        for model in config.get_models():
            if model._meta.db_table not in present:
                with connection.schema_editor() as editor:
                    editor.create_model(model)
