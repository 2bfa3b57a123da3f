"""`manage.py subscribe_ordering`: the saga's worker."""

from typing import Any

from eventstore.client.command import SubscribeCommand
from eventstore.client.connection import event_store
from eventstore.client.subscription import Reactor, Subscription
from orders_site.ordering.handlers import REACTIONS
from orders_site.ordering.models import Checkpoint, ParkedMessage

NAME = "ordering-saga"


class Command(SubscribeCommand):
    help = "Follows each order's saga: rejects what can't be paid, keeps the deadlines."

    def subscription(self, options: dict[str, Any]) -> Subscription:
        return Subscription(
            name=NAME,
            worker=options["worker"],
            handler=Reactor(REACTIONS),
            store=event_store(),
            database="default",
            checkpoints=Checkpoint,
            parked=ParkedMessage,
        )
