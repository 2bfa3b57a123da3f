"""`manage.py migrate_all`: the newest schema in every context's database."""

from typing import Any

from django.core.management.base import BaseCommand

from orders_site import bootstrap


class Command(BaseCommand):
    help = "Migrates the databases of all contexts; does nothing where they are up to date."

    def handle(self, *args: Any, **options: Any) -> None:
        migrated = bootstrap.migrate()
        self.stdout.write(f"Migrated: {', '.join(migrated)}" if migrated else "Nothing to migrate.")
