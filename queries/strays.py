"""Rows of orders that the log does not have."""

from collections.abc import Iterator
from uuid import UUID

from django.db import connections

from eventstore.client import EventStore, StreamHead
from queries.messages import AGGREGATE_TYPE
from queries.models import DATABASE, OrderRow

LOOKED_UP_ROWS = 1_000
COUNTED_ROWS = 20_000

# How far a row is: order id, version, position, and the log that these count in.
Standing = tuple[str, int, int, UUID]

_COUNTED = f"""
SELECT count(*), count(*) FILTER (WHERE position <= %s AND log_id = %s), max(order_id)
FROM (
    SELECT order_id, position, log_id FROM {OrderRow._meta.db_table}
    WHERE order_id > %s ORDER BY order_id LIMIT %s
) AS page
"""  # noqa: S608


def none(head: StreamHead, begun: int | None) -> bool:
    """Whether counting the rows shows that there are none; False if only looking up can tell.

    Every order of the log has its row. So if there are as many rows as orders, and all are of
    before the rebuild, there is no other row. Orders that came since spoil the sum.

    Args:
        head: of the log, when the rebuild began.
        begun: how many orders the log has up to there, None if that is not known.
    """
    rows, after = 0, ""
    while begun is not None and rows <= begun:
        with connections[DATABASE].cursor() as cursor:
            cursor.execute(_COUNTED, [head.position, head.log_id, after, COUNTED_ROWS])
            page, of_before, last = cursor.fetchone()
        if not page:
            return rows == begun
        if of_before < page:
            return False
        rows, after = rows + page, last
    return False


def looked_up(store: EventStore, after: str) -> Iterator[tuple[list[Standing], set[str]]]:
    """The rows by order id, a page at a time, and which of them stand at an event of theirs."""
    found = OrderRow.objects.order_by("order_id")
    columns = found.values_list("order_id", "version", "position", "log_id")
    while page := list(columns.filter(order_id__gt=after)[:LOOKED_UP_ROWS]):
        stands = {order_id: (version, position) for order_id, version, position, _ in page}
        events = store.read_many([(order_id, version) for order_id, version, _, _ in page])
        known = {
            event.aggregate_id
            for event in events
            if (event.version, event.position) == stands[event.aggregate_id]
            and event.aggregate_type == AGGREGATE_TYPE
        }
        yield page, known
        after = page[-1][0]
