"""The saga's rows: written by version, claimed when due."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from eventstore.client.outages import run_through_conflicts
from orders_site.ordering.models import OrderSaga
from orders_site.ordering.saga import SagaState
from orders_site.transactions import committed

DATABASE = "default"


def show(
    order_id: str,
    state: SagaState,
    version: int,
    *,
    created_at: datetime,
    log_id: Callable[[], UUID],
) -> None:
    """Make the order's row show the saga at `version`, unless it shows that or a later one.

    Args:
        created_at: of the order, should the row be new.
        log_id: asked for then only.
    """
    fields = {
        "state": state.step.value,
        "order_status": state.order.status.value,
        "reason": state.order.reason,
        "deadline": state.deadline,
        "alarm": "",
        "version": version,
        "updated_at": timezone.now(),
    }
    row = OrderSaga.objects.filter(order_id=order_id)

    def update() -> bool:
        return row.filter(version__lt=version).update(**fields) > 0 or row.exists()

    # Each statement is a transaction of its own. Version 1 has nothing to update.
    if version > 1 and run_through_conflicts(update):
        return
    new = OrderSaga(order_id=order_id, created_at=created_at, log_id=log_id(), **fields)
    run_through_conflicts(lambda: OrderSaga.objects.bulk_create([new], ignore_conflicts=True))
    if version > 1:
        # Another worker may have inserted an older one just now.
        run_through_conflicts(update)


def claim_overdue(now: datetime, *, lease: timedelta, limit: int) -> Sequence[str]:
    """The orders whose deadline is over, the longest overdue first, for one sweep to look at.

    For the time of the lease no other sweep gets them; after it they are due again, unless their
    row has moved on. So a sweep may die, and an order that fails waits without blocking others.
    """

    def claim() -> list[str]:
        due = OrderSaga.objects.filter(deadline__lte=now).order_by("deadline")
        ids = due.select_for_update(skip_locked=True).values_list("order_id", flat=True)
        claimed = list(ids[:limit])
        OrderSaga.objects.filter(order_id__in=claimed).update(deadline=now + lease)
        return claimed

    return committed(DATABASE, claim)


def take_away(row: OrderSaga) -> None:
    """Delete a row that shows more than the log has; within the caller's transaction."""
    OrderSaga.objects.filter(pk=row.pk).delete()


def keep(row: OrderSaga, log_id: UUID) -> None:
    """The row's version counts in this log now; within the caller's transaction."""
    OrderSaga.objects.filter(pk=row.pk).exclude(log_id=log_id).update(log_id=log_id)


def alarm(order_id: str, version: int, text: str) -> None:
    """Show an alarm on the row, until its next version; it is due no more."""
    row = OrderSaga.objects.filter(order_id=order_id, version=version)
    committed(DATABASE, lambda: row.update(alarm=text, deadline=None, updated_at=timezone.now()))
