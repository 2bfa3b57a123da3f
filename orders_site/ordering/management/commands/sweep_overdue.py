"""`manage.py sweep_overdue`: one sweep over overdue orders, by hand."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from eventstore.client.connection import event_store
from orders_site.ordering.sweep import sweep


class Command(BaseCommand):
    help = "Times out the orders whose payment, approval or refund is overdue, once."

    def handle(self, *args: Any, **options: Any) -> None:
        swept = sweep(event_store())
        self.stdout.write(f"{swept.done} overdue orders looked at, {swept.failed} failed.")
        if swept.stopped_by:
            raise CommandError(f"Stopped before the end: {swept.stopped_by}. Run it again later.")
        if swept.failed:
            raise CommandError("Some orders failed; the log has the reasons.")
