"""Which database each context's rows live in."""

from typing import Any

CONTEXTS = frozenset({"eventstore", "payments", "restaurant", "queries"})


class ContextRouter:
    """Sends each context's models to its own database, everything else to `default`."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return _alias(model._meta.app_label)

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return _alias(model._meta.app_label)

    def allow_relation(self, first: Any, second: Any, **hints: Any) -> bool:
        return _alias(first._meta.app_label) == _alias(second._meta.app_label)

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == _alias(app_label)


def _alias(app_label: str) -> str:
    return app_label if app_label in CONTEXTS else "default"
