"""The saga's rows: written by version, claimed when due."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from eventstore.client import EventStore
from orders_site.gathering import Upsert
from orders_site.ordering.models import OrderSaga
from orders_site.ordering.saga import SagaState
from orders_site.transactions import committed

DATABASE = "default"


_sagas = Upsert(
    OrderSaga,
    DATABASE,
    changes=(
        "state",
        "order_status",
        "reason",
        "deadline",
        "alarm",
        "version",
        "updated_at",
    ),
    when="stored.version < excluded.version",
)


class RememberedLogId:
    """The id of a store's log, asked for every few seconds; `recover_log` gives it another one."""

    SECONDS = 5.0

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._known: tuple[UUID, float] | None = None

    def __call__(self) -> UUID:
        now = time.monotonic()
        if self._known is None or now > self._known[1]:
            self._known = self._store.head().log_id, now + self.SECONDS
        return self._known[0]


def show(
    order_id: str, state: SagaState, version: int, *, created_at: datetime, log_id: UUID
) -> None:
    """Make the order's row show the saga at `version`, unless it shows that or a later one.

    Args:
        created_at: of the order, should the row be new.
        log_id: of the log that the version counts in, should the row be new.
    """
    row = OrderSaga(
        order_id=order_id,
        state=state.step.value,
        order_status=state.order.status.value,
        reason=state.order.reason,
        deadline=state.deadline,
        version=version,
        log_id=log_id,
        created_at=created_at,
        updated_at=timezone.now(),
    )
    _sagas.write(row)


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
