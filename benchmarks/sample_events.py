"""Events like those of real orders: the same size, readable by the query model."""

import random
from uuid import UUID

from eventstore.client import NewEvent, metadata_for, to_json

CLIENT = UUID("7f1d4b53-1b8f-4f0e-9d39-6c1f0c0f9a11")
TYPES = ("order-created", "order-payment-debited", "order-approved")


def quick_uuid() -> UUID:
    """A random UUID at a quarter of the cost of uuid4, which every rival would have to pay too."""
    return UUID(int=random.getrandbits(128) | 1)


def created(order_id: str) -> NewEvent:
    """The first event of an order."""
    return new_event(order_id, "order-created", CREATED_DATA % order_id, METADATA % order_id)


def new_event(order_id: str, event_type: str, data: str, metadata: str) -> NewEvent:
    """One event on an order."""
    return NewEvent(
        event_id=quick_uuid(),
        event_type=event_type,
        aggregate_id=order_id,
        aggregate_type="order",
        data=data,
        metadata=metadata,
    )


def life_of(order_id: str) -> list[NewEvent]:
    """An order's three events, by version."""
    data = (CREATED_DATA % order_id, DEBITED_DATA, APPROVED_DATA)
    return [
        new_event(order_id, event_type, text, METADATA % order_id)
        for event_type, text in zip(TYPES, data, strict=True)
    ]


CREATED_DATA = to_json(
    {
        "order_id": "%s",
        "customer_id": "ada",
        "restaurant_id": "pizza-roma",
        "created_on": "2026-03-01T12:00:00.000000Z",
        "amount": "25.50",
        "currency": "EUR",
        "order_items": [
            {"code": "M1", "name": "Margherita", "unit_price": "12.50", "quantity": 2},
            {"code": "W2", "name": "Water", "unit_price": "0.50", "quantity": 1},
        ],
    }
)
DEBITED_DATA = to_json(
    {
        "payment_id": str(CLIENT),
        "amount": "25.50",
        "currency": "EUR",
        "provider": "sandbox",
        "provider_reference": "ch_12bda11210c54920a0953563cd6bbc49",
    }
)
APPROVED_DATA = to_json({"ticket_id": str(CLIENT), "ready_at": "2026-03-01T12:30:00.000000Z"})
METADATA = metadata_for(
    actor=f"api-client:{CLIENT}",
    correlation_id="%s",
    extra={"api_client": str(CLIENT), "fingerprint": "0" * 64},
)
