"""Order histories, and the rows they must give by code that shares nothing with the projection."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from hypothesis import strategies as st

from eventstore.client import Event, EventStore, NewEvent, to_json

CLIENTS = (UUID(int=1), UUID(int=2))
NEXT = {
    "order-payment-debited": ("paid", {"pending"}),
    "order-approved": ("approved", {"paid"}),
    "order-shipped": ("shipped", {"approved"}),
    "order-delivered": ("delivered", {"shipped"}),
    "order-rejected": ("rejected", {"pending", "paid"}),
    "order-cancelled": ("cancelled", {"pending", "paid"}),
}
DATA: dict[str, dict[str, Any]] = {
    "order-payment-debited": {"amount": "25.50", "currency": "EUR", "payment_id": "p"},
    "order-payment-failed": {"reason": "card declined", "code": "declined"},
    "order-payment-refunded": {"amount": "25.50", "currency": "EUR", "refund_id": "r"},
    "order-approved": {"ticket_id": "t", "ready_at": "2026-03-01T13:00:00Z"},
    "order-rejected": {"reason": "payment-timeout"},
    "order-cancelled": {"reason": "changed my mind", "by": "api-client"},
    "order-shipped": {"courier": "Ann"},
    "order-delivered": {"received_by": "Bo"},
    "order-scented": {"of": "basil"},
}
CREATED = {
    "order_id": "",
    "customer_id": "customer-1",
    "restaurant_id": "pizza-roma",
    "created_on": "2026-03-01T12:00:00.250000Z",
    "amount": "25.50",
    "currency": "EUR",
    "order_items": [
        {"code": "M1", "name": "Margherita", "unit_price": "12.50", "quantity": 2},
        {"code": "W2", "name": "Water", "unit_price": "0.50", "quantity": 1},
    ],
}


def append(
    store: EventStore,
    order_id: str,
    event_type: str,
    data: dict[str, Any] | None = None,
    **metadata: Any,
) -> Event:
    """Append one event, by default with the data usual for its type; the event as stored."""
    new = NewEvent(
        event_id=uuid4(),
        event_type=event_type,
        aggregate_id=order_id,
        aggregate_type="order",
        data=to_json(DATA.get(event_type, CREATED) if data is None else data),
        metadata=to_json({"schema_version": 1, "actor": "test", **metadata}),
    )
    store.append([new])
    stored = store.read_event(new.event_id)
    assert stored is not None
    return stored


def place(store: EventStore, client: UUID = CLIENTS[0], **data: Any) -> str:
    """Append `order-created`; the order's id."""
    order_id = str(uuid4())
    append(
        store,
        order_id,
        "order-created",
        CREATED | {"order_id": order_id} | data,
        api_client=str(client),
        actor=f"api-client:{client}",
        fingerprint="f00d",
        idempotency_key="key-1",
    )
    return order_id


def append_history(store: EventStore, order_id: str, types: Iterable[str]) -> list[Event]:
    """Append an order's events, each with the usual data, its owner among the two clients."""
    number = sum(order_id.encode())
    for event_type in types:
        data, metadata = None, {}
        if event_type == "order-created":
            data = CREATED | {
                "customer_id": f"customer-{number % 3}",
                "restaurant_id": f"restaurant-{number % 2}",
                "created_on": f"2026-03-0{1 + number % 2}T23:59:59.999999Z",
            }
            metadata = {"api_client": str(CLIENTS[number % 2])}
        append(store, order_id, event_type, data, **metadata)
    return store.read_aggregate(order_id)


def histories() -> st.SearchStrategy[list[str]]:
    """Types of an order's events: mostly created first, then anything, legal or not."""
    first = st.sampled_from(["order-created"] * 9 + ["order-scented"])
    later = st.sampled_from(["order-created", *DATA])
    return st.builds(lambda head, tail: [head, *tail], first, st.lists(later, max_size=7))


def expected_row(events: Sequence[Event]) -> dict[str, Any] | None:
    """What the query model has to have of an order with these events; None: nothing."""
    types = [event.event_type for event in events]
    if "order-created" not in types:
        return None
    start = types.index("order-created")
    created, last = events[start], events[-1]
    debited = refunded = 0
    status, reason, failed = "pending", "", False
    for event in events[start + 1 :]:
        money = int(Decimal(event.payload.get("amount", 0)) * 100)
        debited += money if event.event_type == "order-payment-debited" else 0
        refunded += money if event.event_type == "order-payment-refunded" else 0
        failed |= event.event_type == "order-payment-failed"
        following, before = NEXT.get(event.event_type, ("", set()))
        if status in before:
            status = following
            if status in ("rejected", "cancelled"):
                reason = event.payload["reason"]
    if not debited:
        payment_status = "failed" if failed else "none"
    elif not refunded:
        payment_status = "debited"
    else:
        payment_status = "refunded" if refunded >= debited else "partially_refunded"
    data, client = created.payload, created.context.get("api_client")
    moment = datetime.strptime(data["created_on"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return {
        "order_id": created.aggregate_id,
        "api_client": UUID(client) if client else None,
        "customer_id": data["customer_id"],
        "restaurant_id": data["restaurant_id"],
        "status": status,
        "payment_status": payment_status,
        "amount_minor": int(Decimal(data["amount"]) * 100),
        "currency": data["currency"],
        "created_on": moment,
        "updated_at": last.recorded_at,
        "reason": reason,
        "debited_minor": debited,
        "refunded_minor": refunded,
        "version": last.version,
        "position": last.position,
    }


def expected_summaries(rows: Iterable[dict[str, Any]], owner: str) -> dict[tuple, tuple[int, int]]:
    """(owner, day, status, currency) -> (orders, amount in minor units)."""
    orders: Counter[tuple] = Counter()
    amounts: Counter[tuple] = Counter()
    for row in rows:
        key = (row[owner], row["created_on"].date(), row["status"], row["currency"])
        orders[key] += 1
        amounts[key] += row["amount_minor"]
    return {key: (count, amounts[key]) for key, count in orders.items()}
