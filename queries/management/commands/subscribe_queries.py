"""`manage.py subscribe_queries --name orderquery-store1`: a worker of the query models."""

from argparse import ArgumentParser
from typing import Any

from eventstore.client.command import SubscribeCommand
from eventstore.client.connection import event_store
from eventstore.client.subscription import Subscription
from queries.models import DATABASE, Checkpoint, ParkedMessage
from queries.projector import SUBSCRIPTION, OrderProjector


class Command(SubscribeCommand):
    help = "Keeps the query models. Any number may run: they share one durable subscription."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--name", dest="worker", help="the same as --worker, such as orderquery-store1"
        )

    def subscription(self, options: dict[str, Any]) -> Subscription:
        store = event_store()
        return Subscription(
            name=SUBSCRIPTION,
            worker=options["worker"],
            handler=OrderProjector(store),
            store=store,
            database=DATABASE,
            checkpoints=Checkpoint,
            parked=ParkedMessage,
        )
