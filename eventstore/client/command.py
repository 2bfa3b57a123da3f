"""What the `subscribe_*` commands of all contexts have in common."""

import os
import socket
from abc import abstractmethod
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from eventstore.client.checks import SETTINGS_CHECKS
from eventstore.client.metrics import add_metrics_argument, metrics_served
from eventstore.client.subscriber import run
from eventstore.client.subscribing.binding import SubscriptionRefused
from eventstore.client.subscription import Subscription


class SubscribeCommand(BaseCommand):
    """Runs the subscription that `subscription` returns, until SIGTERM or Ctrl-C.

    Exit code 0 after a stop, 1 when the subscription refuses to follow the stream.
    """

    requires_system_checks: list[str] = [SETTINGS_CHECKS]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--worker",
            default=f"{socket.gethostname()}-{os.getpid()}",
            help="the name of this process, for its log; workers share the subscription",
        )
        parser.add_argument(
            "--once", action="store_true", help="stop when nothing is left to be worked on"
        )
        add_metrics_argument(parser)

    @abstractmethod
    def subscription(self, options: dict[str, Any]) -> Subscription:
        """What to run; `options["worker"]` is the name of this process."""

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with metrics_served(options["metrics_port"]):
                run(self.subscription(options), once=options["once"])
        except SubscriptionRefused as refusal:
            raise CommandError(str(refusal)) from None
