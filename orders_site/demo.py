"""Orders of different fates, placed through the public API and watched until each met its own."""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

DEADLINE_SECONDS = 90.0
POLL_SECONDS = 0.15


@dataclass(frozen=True)
class Fate:
    """One order to place, and what must become of it.

    The sandbox gateway decides by the amount (see payments/gateways), the restaurant by its id.
    `cancel_when` is the status at which the customer cancels.
    """

    title: str
    restaurant_id: str
    unit_price: str
    status: str
    payment_status: str
    reason: str = ""
    cancel_when: str = ""


FATES = (
    Fate("Paid and approved", "pizza-roma", "19.00", "approved", "debited"),
    Fate("Card declined", "pizza-roma", "400.02", "rejected", "failed", "payment-failed"),
    Fate("Reply lost after the charge", "pizza-roma", "400.12", "approved", "debited"),
    Fate("Unknown restaurant", "nowhere", "21.00", "rejected", "refunded", "unknown-restaurant"),
    Fate(
        "Restaurant closed", "burger-closed", "22.00", "rejected", "refunded", "restaurant-closed"
    ),
    Fate("Cancelled by the customer", "sushi-kyoto", "23.00", "cancelled", "refunded", "", "paid"),
)


@dataclass
class Placed:
    """An order under way: the events and the row of the query model seen so far."""

    fate: Fate
    order_id: str
    events: list[dict[str, Any]] = field(default_factory=list)
    row: dict[str, Any] = field(default_factory=dict)
    cancelled: bool = False

    @property
    def met(self) -> bool:
        """Whether the order is what it should become."""
        return (
            self.row.get("status") == self.fate.status
            and self.row.get("payment_status") == self.fate.payment_status
            and (not self.fate.reason or self.row.get("reason") == self.fate.reason)
            and self.row.get("version") == len(self.events)
        )


class Demo:
    """Places the fates' orders at `site` and follows them.

    Args:
        site: the address of the running system, without a path.
        token: an API client's.
    """

    def __init__(self, site: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._api = httpx.Client(base_url=f"{site}/api", headers=headers, timeout=15)

    def place(self) -> list[Placed]:
        """Place one order for each fate; raises httpx.HTTPError if one is refused."""
        return [self._place(fate) for fate in FATES]

    def follow(self, placed: list[Placed]) -> Iterator[tuple[Placed, dict[str, Any]]]:
        """Each order's events as they appear; ends when all met their fate or time is up."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not all(order.met for order in placed) and time.monotonic() < deadline:
            for order in placed:
                if not order.met:
                    yield from self._news(order)
            time.sleep(POLL_SECONDS)

    def _place(self, fate: Fate) -> Placed:
        item = {"code": "demo", "name": fate.title, "unit_price": fate.unit_price, "quantity": 1}
        reply = self._api.post(
            "/orders",
            json={
                "customer_id": "demo",
                "restaurant_id": fate.restaurant_id,
                "order_items": [item],
            },
            headers={"Idempotency-Key": str(uuid.uuid4())},
        )
        reply.raise_for_status()
        return Placed(fate, reply.json()["order_id"])

    def _news(self, order: Placed) -> Iterator[tuple[Placed, dict[str, Any]]]:
        path = f"/orders/{order.order_id}"
        events = self._get(f"{path}/events")["results"]
        order.row = self._get(path)
        for event in events[len(order.events) :]:
            order.events.append(event)
            yield order, event
        if order.fate.cancel_when == order.row["status"] and not order.cancelled:
            self._api.post(f"{path}/cancel", json={"reason": "changed my mind"}).raise_for_status()
            order.cancelled = True

    def _get(self, path: str) -> dict[str, Any]:
        reply = self._api.get(path)
        reply.raise_for_status()
        value: dict[str, Any] = reply.json()
        return value
