"""Compares the query models with the log, page by page, and puts right what differs.

Safe while workers run: rows are compared with the fold of the log up to the row's own version, and
repaired under the workers' locks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from eventstore.client import EventStore
from queries import rows
from queries.messages import AGGREGATE_TYPE
from queries.models import Checkpoint, OrderRow, ParkedMessage
from queries.projections import fold_readable
from queries.repairing import PAGE, Difference, difference, histories, repaired

STREAM_PAGE = 5_000


@dataclass(frozen=True)
class Checked:
    """One page done: how many orders it had, what differed, up to where it went."""

    orders: int
    differences: list[Difference]
    position: int = 0
    last_order: str = ""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """One run over the query models of a subscription.

    Args:
        store: the log.
        subscription: whose checkpoint says which events must be in the rows.
        repair: put right what differs.
    """

    store: EventStore
    subscription: str
    repair: bool = False

    def missing(self, from_position: int = 1) -> Iterator[Checked]:
        """Walk the log: orders without a row that should have one."""
        head, position = self.store.head(), max(from_position, 1)
        applied = self._applied(head.log_id)
        last = head.position if self.repair else min(head.position, applied)
        while position <= last:
            upto = min(position + STREAM_PAGE - 1, last)
            events = self.store.read_stream(position, limit=upto - position + 1)
            ids = {event.aggregate_id for event in events if event.aggregate_type == AGGREGATE_TYPE}
            absent = sorted(ids - rows.versions(ids).keys())
            found = [
                found
                for start in range(0, len(absent), PAGE)
                for found in self._checked(absent[start : start + PAGE], head.log_id, applied)
            ]
            yield Checked(len(ids), found, position=upto)
            position = upto + 1

    def different(self, after: str = "") -> Iterator[Checked]:
        """Walk the rows by order id: those that are not the fold of their events."""
        head = self.store.head()
        while ids := list(
            OrderRow.objects.filter(order_id__gt=after)
            .order_by("order_id")
            .values_list("order_id", flat=True)[:PAGE]
        ):
            found = self._checked(ids, head.log_id, self._applied(head.log_id))
            after = ids[-1]
            yield Checked(len(ids), found, last_order=after)

    def _checked(self, ids: Sequence[str], log_id: UUID, applied: int) -> list[Difference]:
        differences = self._compared(ids, log_id, applied)
        if self.repair and differences:
            repaired(self.store, [found.order_id for found in differences], log_id)
        return differences

    def _compared(self, ids: Sequence[str], log_id: UUID, applied: int) -> list[Difference]:
        """Rows first, then their events: the log never has less than a row."""
        logs = dict(OrderRow.objects.filter(order_id__in=ids).values_list("order_id", "log_id"))
        stored = rows.with_items(rows.stored(ids))
        of_orders = histories(self.store, ids)
        parked = _parked(self.subscription, ids)
        found = []
        for order_id in ids:
            row, events = stored.get(order_id), of_orders.get(order_id, [])
            required = [event for event in events if event.position <= applied]
            if (row is None or row.version < len(required)) and order_id not in parked:
                expected = fold_readable(required)
            else:
                expected = fold_readable(events[: row.version]) if row else None
            what = difference(row, expected)
            if not what and row and logs.get(order_id) not in (log_id, None):
                what = "log_id"
            if what:
                found.append(Difference(order_id, what))
        return found

    def _applied(self, log_id: UUID) -> int:
        checkpoint = Checkpoint.objects.filter(subscription=self.subscription).first()
        return checkpoint.position if checkpoint and checkpoint.log_id == log_id else 0


def _parked(subscription: str, ids: Sequence[str]) -> set[str]:
    state = ParkedMessage.State
    found = ParkedMessage.objects.filter(
        subscription=subscription,
        aggregate_id__in=ids,
        state__in=[state.FAILING, state.PARKED, state.RETRY, state.DISCARDED],
    )
    return set(found.values_list("aggregate_id", flat=True))
