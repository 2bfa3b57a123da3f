"""`manage.py subscribe_ordering`: the saga's worker."""

from functools import partial
from typing import Any

from eventstore.client.command import SubscribeCommand
from eventstore.client.connection import event_store
from eventstore.client.subscription import Reactor, Subscription
from orders_site.ordering.handlers import REACTIONS
from orders_site.ordering.models import Checkpoint, ParkedMessage
from orders_site.ordering.saga_rows import RememberedLogId

NAME = "ordering-saga"


class Command(SubscribeCommand):
    help = "Follows each order's saga: rejects what can't be paid, keeps the deadlines."

    def subscription(self, options: dict[str, Any]) -> Subscription:
        store = event_store()
        log_id = RememberedLogId(store)
        return Subscription(
            name=NAME,
            worker=options["worker"],
            handler=Reactor(
                {kind: partial(reaction, log_id=log_id) for kind, reaction in REACTIONS.items()}
            ),
            store=store,
            database="default",
            checkpoints=Checkpoint,
            parked=ParkedMessage,
        )
