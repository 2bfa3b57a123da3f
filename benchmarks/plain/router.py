"""The rivals' tables are in a database of their own."""

from typing import Any

APPS = frozenset({"plain", "eventsourcing_django"})


class PlainRouter:
    """Decides for the rivals alone; everything else is the product's router's."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "plain" if model._meta.app_label in APPS else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        if db == "plain" or app_label in APPS:
            return db == "plain" and app_label in APPS
        return None
