"""The payments context's worker."""

from functools import partial
from typing import Any

from eventstore.client.command import SubscribeCommand
from eventstore.client.connection import event_store
from eventstore.client.subscription import Reactor, Subscription
from payments.connection import payment_gateway
from payments.handlers import REACTIONS
from payments.models import Checkpoint, ParkedMessage
from payments.rows import DATABASE


class Command(SubscribeCommand):
    help = "Takes payments for orders, and gives them back when orders are rejected or cancelled."

    def subscription(self, options: dict[str, Any]) -> Subscription:
        gateway = payment_gateway()
        reactions = {
            kind: partial(reaction, gateway=gateway) for kind, reaction in REACTIONS.items()
        }
        return Subscription(
            name="payments",
            worker=options["worker"],
            handler=Reactor(reactions),
            store=event_store(),
            database=DATABASE,
            checkpoints=Checkpoint,
            parked=ParkedMessage,
        )
