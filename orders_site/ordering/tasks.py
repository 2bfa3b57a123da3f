"""What Celery beat wakes: the sweep. Deadlines themselves are rows, never tasks."""

from celery import shared_task

from eventstore.client.connection import event_store
from orders_site.ordering.sweep import sweep


@shared_task(name="ordering.sweep_overdue")
def sweep_overdue() -> None:
    """Time out what is overdue. May run twice or at once with itself."""
    sweep(event_store())
