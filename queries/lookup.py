"""One order for its owner: from the query model, or, to read one's own writes, from the log."""

import threading
import time
from itertools import islice
from uuid import UUID

from eventstore.client import Event, EventStore
from queries import reads
from queries.messages import AGGREGATE_TYPE
from queries.models import OrderRow
from queries.projections import OrderView, fold_readable

LONGEST_WAIT_SECONDS = 1.0
POLL_SECONDS = 0.05
# Of the web server's threads only these may be asleep; further requests go straight to the log.
MAX_WAITING = 4
# An order has a handful of events; whoever appends more to one can't make reading it expensive.
MAX_FOLDED = 1_000

_waiting = threading.BoundedSemaphore(MAX_WAITING)


def find(
    store: EventStore, order_id: str, client: UUID | None, min_version: int
) -> OrderView | None:
    """An order that is visible to `client` (None: to staff), None if there is none.

    Raises:
        Unavailable: the query model has it not, or not yet, and the log is away.
    """
    view = reads.order(order_id)
    if view and not _may_see(view.api_client, client):
        return None
    if min_version > 1 and not _has(view, min_version):
        view = _awaited(order_id, min_version)
    if not _has(view, min_version):
        view = _newer(from_log(store, order_id), view)
    return view if view and _may_see(view.api_client, client) else None


def from_log(store: EventStore, order_id: str) -> OrderView | None:
    """The order folded from its events, as far as they can be read."""
    return fold_readable(events(store, order_id, 1, MAX_FOLDED))


def events(store: EventStore, order_id: str, from_version: int, limit: int) -> list[Event]:
    """At most `limit` of an order's events; none if the aggregate is no order."""
    found = islice(store.read_many([(order_id, from_version)]), limit)
    return [event for event in found if event.aggregate_type == AGGREGATE_TYPE]


def is_visible(store: EventStore, order_id: str, client: UUID | None) -> bool:
    """Whether there is such an order, and `client` (None: staff) may see it.

    Raises:
        Unavailable: the query model does not have it, and the log is away.
    """
    owner = OrderRow.objects.filter(order_id=order_id).values_list("api_client", flat=True)[:1]
    for api_client in owner:
        return _may_see(api_client, client)
    if client is None:
        return bool(events(store, order_id, 1, 1))
    view = from_log(store, order_id)
    return view is not None and _may_see(view.api_client, client)


def _may_see(owner: UUID | None, client: UUID | None) -> bool:
    return client is None or owner == client


def _has(view: OrderView | None, min_version: int) -> bool:
    return view is not None and view.version >= min_version


def _newer(one: OrderView | None, other: OrderView | None) -> OrderView | None:
    """The view further on: a log read in parts may end before what was applied meanwhile."""
    return max(one, other, key=lambda view: view.version if view else 0)


def _awaited(order_id: str, min_version: int) -> OrderView | None:
    """The order once it has the version, or as it is when the wait is over."""
    if not _waiting.acquire(blocking=False):
        return reads.order(order_id)
    try:
        until = time.monotonic() + LONGEST_WAIT_SECONDS
        while True:
            if reads.version(order_id) >= min_version or time.monotonic() >= until:
                return reads.order(order_id)
            time.sleep(POLL_SECONDS)
    finally:
        _waiting.release()
