"""One sweep over the orders whose saga waited too long."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from eventstore.client import EventStore, TooManyEvents, TransientError, UnknownSchemaVersion
from orders_site.ordering import saga_rows
from orders_site.ordering.handlers import time_out
from orders_site.ordering.messages import MalformedEvent

log = logging.getLogger(__name__)

BATCH = 100
LEASE = timedelta(seconds=15)
BUDGET_SECONDS = 60.0
_AWAY = (TransientError, OperationalError, InterfaceError)


@dataclass(frozen=True)
class Swept:
    """What a sweep did. `stopped_by` is what was away, empty if the sweep got through."""

    done: int = 0
    failed: int = 0
    stopped_by: str = ""


def sweep(store: EventStore, *, clock: Callable[[], datetime] = timezone.now) -> Swept:
    """Time out what is overdue, oldest first, for at most BUDGET_SECONDS; the next sweep goes on.

    An order that fails is logged and comes again after LEASE; the others don't wait for it. If
    the event store or the database is away, the sweep stops without a fuss.
    """
    done = failed = 0
    stop_at = time.monotonic() + BUDGET_SECONDS
    try:
        while time.monotonic() < stop_at:
            order_ids = saga_rows.claim_overdue(clock(), lease=LEASE, limit=BATCH)
            if not order_ids:
                break
            for order_id in order_ids:
                if _time_out(order_id, store, clock()):
                    done += 1
                else:
                    failed += 1
    except _AWAY as error:
        log.warning("The sweep stopped, %s; the next one goes on", type(error).__name__)
        return Swept(done, failed, stopped_by=type(error).__name__)
    return Swept(done, failed)


def _time_out(order_id: str, store: EventStore, now: datetime) -> bool:
    try:
        time_out(order_id, store=store, now=now)
    except _AWAY:
        raise
    except (MalformedEvent, TooManyEvents, UnknownSchemaVersion) as unreadable:
        # Its messages are parked, with the traceback.
        log.warning("Order %s can't be timed out: %s", order_id, unreadable)
        return False
    except Exception:
        log.exception("Order %s could not be timed out", order_id)
        return False
    return True
