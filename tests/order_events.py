"""Events on an order as the contexts append them, for tests that need an order in some state."""

from typing import Any
from uuid import uuid4

from eventstore.client import Event, EventStore, NewEvent, metadata_for, to_json

ITEMS = [
    {"code": "M1", "name": "Margherita", "unit_price": "12.50", "quantity": 2},
    {"code": "W2", "name": "Water", "unit_price": "0.50", "quantity": 1},
]


def append(
    store: EventStore,
    order_id: str,
    event_type: str,
    data: dict[str, Any],
    *,
    schema_version: int = 1,
) -> Event:
    """Append one event to the order, and return it as the log holds it."""
    event = NewEvent(
        event_id=uuid4(),
        event_type=event_type,
        aggregate_id=order_id,
        aggregate_type="order",
        data=to_json(data),
        metadata=metadata_for(actor="test", schema_version=schema_version, correlation_id=order_id),
    )
    store.append([event])
    stored = store.read_event(event.event_id)
    assert stored is not None
    return stored


def place(
    store: EventStore,
    *,
    amount: str = "25.50",
    currency: str = "EUR",
    restaurant_id: str = "pizza-roma",
) -> Event:
    """A new order; its id is the event's aggregate id."""
    order_id = str(uuid4())
    data = {
        "order_id": order_id,
        "customer_id": "customer-1",
        "restaurant_id": restaurant_id,
        "created_on": "2026-03-01T12:00:00.000Z",
        "amount": amount,
        "currency": currency,
        "order_items": ITEMS,
    }
    return append(store, order_id, "order-created", data)


def debit(store: EventStore, order_id: str, *, amount: str = "25.50") -> Event:
    data = {
        "payment_id": str(uuid4()),
        "amount": amount,
        "currency": "EUR",
        "provider": "sandbox",
        "provider_reference": "ch_1",
    }
    return append(store, order_id, "order-payment-debited", data)


def reject(store: EventStore, order_id: str, reason: str = "payment-timeout") -> Event:
    return append(store, order_id, "order-rejected", {"reason": reason})


def cancel(store: EventStore, order_id: str) -> Event:
    return append(store, order_id, "order-cancelled", {"reason": "", "by": "api-client:1"})


def types(store: EventStore, order_id: str) -> list[str]:
    """The types of the order's events, in order."""
    return [event.event_type for event in store.read_aggregate(order_id)]
