"""Keeps the order rows and their summaries in step with the log, a whole fetch at a time."""

from collections.abc import Mapping, Sequence

from eventstore.client import Event, EventStore
from queries import rows
from queries.freshness import CachedHead
from queries.messages import AGGREGATE_TYPE
from queries.projections import OrderView, fold

SUBSCRIPTION = "orderquery-store"


class OrderProjector:
    """The `Projector` of the query models."""

    aggregate_types = (AGGREGATE_TYPE,)

    def __init__(self, store: EventStore) -> None:
        self._head = CachedHead(store)

    def versions(self, aggregate_ids: Sequence[str]) -> Mapping[str, int]:
        """The version last applied of each order that has a row; read without locks."""
        return rows.versions(aggregate_ids)

    def apply(self, events: Mapping[str, Sequence[Event]]) -> None:
        """Apply orders' events in the caller's transaction; versions that are applied are skipped.

        Raises:
            RowsMoved: a version between the row and its first event is missing, or another worker
                inserted the same order meanwhile.
            UnknownSchemaVersion, MalformedEvent: one of the events can't be applied.
        """
        log_id = self._head.get().log_id
        before = rows.locked(events.keys())
        after: dict[str, OrderView] = {}
        for order_id, of_order in events.items():
            stored = before.get(order_id)
            view = fold(_unapplied(stored, of_order), stored)
            if view is not None and view is not stored:
                after[order_id] = view
        rows.write(before, after, log_id)


def _unapplied(stored: OrderView | None, events: Sequence[Event]) -> Sequence[Event]:
    version = stored.version if stored else 0
    new = [event for event in events if event.version > version]
    if new and new[0].version != version + 1:
        raise rows.RowsMoved(f"{new[0].aggregate_id} is at {version}, not {new[0].version - 1}")
    return new
