"""The log, NATS and all contexts in the process of a test, on real databases and a real NATS."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from uuid import UUID

import pytest
from nats.js.errors import NotFoundError

from eventstore.client import Event
from eventstore.client.connection import use
from eventstore.publisher import Publisher
from eventstore.store import SqlEventStore
from orders_site.management.commands.up import QUERY_WORKERS
from orders_site.money import Money
from orders_site.ordering import models as ordering_models
from orders_site.ordering.details import OrderDetails, OrderItem
from orders_site.ordering.handlers import place_order
from orders_site.ordering.management.commands import subscribe_ordering
from payments import connection as gateway_connection
from payments import models as payments_models
from payments.gateways.memory import InMemoryGateway
from payments.management.commands import subscribe_payments
from queries import models as queries_models
from queries.management.commands import subscribe_queries
from restaurant import models as restaurant_models
from restaurant.management.commands import subscribe_restaurant
from tests.integration.broker import STREAM, Broker
from tests.integration.messaging import Worker
from tests.together import eventually

CLIENT = UUID("6f1d3a52-9a0e-4c0f-8f43-0f6f7d0b7a11")
CHECKPOINTS = {
    "ordering-saga": ordering_models.Checkpoint,
    "payments": payments_models.Checkpoint,
    "restaurant": restaurant_models.Checkpoint,
    "orderquery-store": queries_models.Checkpoint,
}
AUTOMATIC, BY_HAND = "pizza-roma", "trattoria"


class WholeSystem:
    """What runs between `running`'s begin and end; the databases and NATS are there throughout."""

    def __init__(self, store: SqlEventStore, broker: Broker, gateway: InMemoryGateway) -> None:
        self.store = store
        self.broker = broker
        self.gateway = gateway

    @contextmanager
    def running(self, *, publisher: bool = True, keep: int = 0) -> Iterator[None]:
        """Publisher and a worker of each context, stopped at the end; NATS keeps `keep` events."""
        commands = (
            subscribe_ordering.Command(),
            subscribe_payments.Command(),
            subscribe_restaurant.Command(),
            subscribe_queries.Command(),
        )
        with ExitStack() as stack:
            if publisher:
                running = Publisher(
                    self.store,
                    streams=[STREAM],
                    nats_url=self.broker.url,
                    keep=keep,
                    refused_seconds=0.3,
                )
                running.start()
                stack.callback(running.stop)
            for command in commands:
                options = {"worker": QUERY_WORKERS[0], "name": QUERY_WORKERS[0]}
                worker = Worker(command.subscription(options), self.broker.subscriber_url)
                stack.callback(worker.stop)
            yield

    def settled(self) -> None:
        """Wait until NATS has all of the log and every subscription has followed all of it."""
        eventually(self._is_settled, timeout=40)

    def _is_settled(self) -> bool:
        head = self.store.head()
        if self.broker.last() != head.position:
            return False
        for name in CHECKPOINTS:
            try:
                info = self.broker.js(lambda js, name=name: js.consumer_info(STREAM, name))
            except NotFoundError:
                return False
            if info.num_pending or info.num_ack_pending:
                return False
        # A checkpoint stands at the last message of its types, the query model's at the last one.
        at = [model.objects.filter(pk=name).first() for name, model in CHECKPOINTS.items()]
        return (
            self.store.head() == head
            and all(row and row.log_id == head.log_id for row in at)
            and any(row and row.position == head.position for row in at)
        )

    def place(self, key: str, restaurant: str = AUTOMATIC, price: int = 2500) -> str:
        """Place an order under an idempotency key; its id."""
        item = OrderItem("margherita", "Pizza", Money(price, "EUR"), 1)
        order = place_order(
            OrderDetails("customer-1", restaurant, "EUR", (item,)),
            store=self.store,
            client_id=CLIENT,
            now=datetime.now(UTC),
            idempotency_key=key,
        )
        return order.placed.order_id

    def types(self, order_id: str) -> list[str]:
        """The types of an order's events."""
        return [event.event_type for event in self.store.read_aggregate(order_id)]

    def events(self) -> list[Event]:
        """The whole log."""
        return list(self.store.read_stream())


@pytest.fixture
def system(nats_server) -> Iterator[WholeSystem]:
    """Two restaurants, one of which accepts by itself, and an empty log."""
    store, gateway = SqlEventStore(), InMemoryGateway()
    store.create_stream(STREAM)
    use(store)
    gateway_connection.use(gateway)
    for name, automatic in ((AUTOMATIC, True), (BY_HAND, False)):
        restaurant_models.Restaurant.objects.create(
            id=name, name=name, accepts_automatically=automatic
        )
    yield WholeSystem(store, Broker(nats_server), gateway)
    use(None)
    gateway_connection.use(None)
