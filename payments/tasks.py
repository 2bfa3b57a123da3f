"""What Celery beat wakes: the comparison of the gateway's ledger with the log."""

import logging
from datetime import timedelta

from celery import shared_task
from django.db import InterfaceError, OperationalError

from eventstore.client import TransientError
from eventstore.client.connection import event_store
from payments.connection import payment_gateway
from payments.handlers import utc_now
from payments.models import LedgerCursor
from payments.reconciliation import Reconciliation

log = logging.getLogger(__name__)

MOVEMENTS_PER_RUN = 1_000
LEDGER, HANGING = "gateway", "payments that hang"


@shared_task(name="payments.reconcile")
def reconcile() -> None:
    """Finish payments that hang and put captures into the log that it lacks.

    Goes on where the last run ended; may run twice or at once with itself. The comparison of
    older rows with the ledger is `manage.py reconcile`'s.
    """
    try:
        _go_on()
    except (TransientError, OperationalError, InterfaceError) as error:
        # Its text names the database's address; the class says what is away.
        log.warning("reconciliation waits: %s", type(error).__name__)


def _go_on() -> None:
    ledger, _ = LedgerCursor.objects.get_or_create(ledger=LEDGER)
    hanging, _ = LedgerCursor.objects.get_or_create(ledger=HANGING)
    run = Reconciliation(
        store=event_store(),
        gateway=payment_gateway(),
        since=utc_now() - timedelta(days=1),
        limit=MOVEMENTS_PER_RUN,
        cursor=ledger.cursor or None,
        hanging_after=hanging.cursor or None,
    )
    try:
        for difference in run.recent_differences():
            log.warning("%s", difference)
    except TransientError as error:
        log.warning("reconciliation waits: %s", error)
    _move(ledger, run.cursor or ledger.cursor)
    _move(hanging, run.hanging_after or "")


def _move(row: LedgerCursor, cursor: str) -> None:
    """Have the next run go on there, unless another one moved it meanwhile."""
    if cursor != row.cursor:
        LedgerCursor.objects.filter(pk=row.pk, cursor=row.cursor).update(cursor=cursor)
