"""Orders of several fates in every context's tables, as the contexts' own reactions leave them."""

from dataclasses import dataclass
from uuid import uuid4

from django.db import transaction

from eventstore.client import Event, to_json
from eventstore.client.hashing import GENESIS
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.models import ParkedMessage
from eventstore.models import StoredEvent, StreamHead
from orders_site.ordering import handlers as ordering
from payments import handlers as payments
from payments.gateways.memory import InMemoryGateway
from queries.projector import OrderProjector
from restaurant import handlers as restaurant
from restaurant.models import Restaurant, Ticket
from tests import order_events as order

XSS = "<script>alert(1)</script>"


@dataclass
class World:
    """A log in memory, and the contexts' tables that follow it."""

    store: InMemoryEventStore

    def __post_init__(self) -> None:
        self.gateway = InMemoryGateway()
        self.seen = 0

    def restaurants(self) -> None:
        """One that waits for people, one that accepts by itself."""
        Restaurant.objects.create(id="sushi-kyoto", name="Sushi Kyoto")
        Restaurant.objects.create(id="pizza-roma", name="Pizza Roma", accepts_automatically=True)

    def place(self, restaurant_id: str, amount: str = "25.50") -> str:
        """A new order; its id."""
        event = order.place(self.store, restaurant_id=restaurant_id, amount=amount)
        self.settle()
        return event.aggregate_id

    def settle(self) -> None:
        """Have every context react until nothing new happens."""
        while events := list(self.store.read_stream(self.seen + 1)):
            for event in events:
                self._react(event)
                self.seen = event.position

    def _react(self, event: Event) -> None:
        store = self.store
        if reaction := payments.REACTIONS.get(event.event_type):
            reaction(event, store=store, gateway=self.gateway)
        if reaction := restaurant.REACTIONS.get(event.event_type):
            reaction(event, store=store)
        if reaction := ordering.REACTIONS.get(event.event_type):
            reaction(event, store=store)
        with transaction.atomic(using="queries"):
            OrderProjector(store).apply({event.aggregate_id: [event]})
        _log(event)

    def ticket(self, order_id: str) -> Ticket:
        return Ticket.objects.get(order_id=order_id)


def _log(event: Event) -> None:
    """The event's row in the log's own table, which only the event store would write."""
    StreamHead.objects.get_or_create(
        name=event.stream, defaults={"log_id": uuid4(), "position": 0, "hash": GENESIS}
    )
    StoredEvent.objects.create(**{name: getattr(event, name) for name in _COLUMNS})
    StreamHead.objects.filter(name=event.stream).update(position=event.position, hash=event.hash)


_COLUMNS = [field.name for field in StoredEvent._meta.fields]


def park(model: type[ParkedMessage], aggregate_id: str, **fields: object) -> ParkedMessage:
    """A parked message of a context."""
    values = {
        "subscription": model._meta.app_label,
        "aggregate_id": aggregate_id,
        "from_version": 3,
        "event_id": str(uuid4()),
        "event_type": "order-approved",
        "position": 3,
        "payload": to_json({"reason": XSS}),
        "error": f"UnknownSchemaVersion: {XSS}",
        "traceback": f"Traceback ...\n  {XSS}",
        "attempts": 5,
        "state": ParkedMessage.State.PARKED,
    }
    return model._default_manager.create(**{**values, **fields})
