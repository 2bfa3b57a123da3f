"""The restaurant context's worker."""

from typing import Any

from eventstore.client.command import SubscribeCommand
from eventstore.client.connection import event_store
from eventstore.client.subscription import Reactor, Subscription
from restaurant.handlers import REACTIONS
from restaurant.models import Checkpoint, ParkedMessage
from restaurant.rows import DATABASE


class Command(SubscribeCommand):
    help = (
        "Opens tickets for paid orders, and answers them for restaurants that accept by themselves."
    )

    def subscription(self, options: dict[str, Any]) -> Subscription:
        return Subscription(
            name="restaurant",
            worker=options["worker"],
            handler=Reactor(REACTIONS),
            store=event_store(),
            database=DATABASE,
            checkpoints=Checkpoint,
            parked=ParkedMessage,
        )
