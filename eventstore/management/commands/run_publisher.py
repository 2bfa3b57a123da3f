"""Run the publisher alone, beside event stores that were started without one."""

import logging
import os
import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from prometheus_client import REGISTRY

from eventstore.client.checks import SETTINGS_CHECKS
from eventstore.client.metrics import add_metrics_argument, metrics_served
from eventstore.client.port import EventStore
from eventstore.metrics import Published
from eventstore.publisher import Publisher
from eventstore.store import SqlEventStore
from eventstore.transactions import LONGEST_SILENCE_SECONDS

TICK_SECONDS = 0.5
STOP_SECONDS = 8.0


class Command(BaseCommand):
    requires_system_checks: list[str] = [SETTINGS_CHECKS]
    help = "Publish the events of the log to NATS, until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--log",
            choices=["database", "server"],
            default="database",
            help="where the log is read: the event store's database, or its gRPC server",
        )
        add_metrics_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        log = _log(options["log"])
        publisher = Publisher(
            log,
            streams=settings.EVENTSTORE_STREAMS,
            nats_url=settings.NATS_PUBLISHER_URL,
            replicas=settings.NATS_REPLICAS,
            keep=settings.NATS_KEEP_EVENTS,
        )
        REGISTRY.register(Published(publisher.status))
        with metrics_served(options["metrics_port"]):
            publisher.start()
            _wait(log, stopping)
        if not publisher.stop(STOP_SECONDS):
            # A frozen database would keep the process alive; nothing is lost by leaving it.
            logging.shutdown()
            os._exit(0)


def _log(where: str) -> EventStore:
    if where == "server":
        from eventstore.client.remote import RemoteEventStore

        return RemoteEventStore.from_settings()
    return SqlEventStore()


def _wait(log: EventStore, stopping: threading.Event) -> None:
    """Until it is time to stop; a database that never answers holds the publisher up no longer."""
    while not stopping.wait(TICK_SECONDS):
        # Calls of a server have deadlines.
        if isinstance(log, SqlEventStore):
            log.database.cut_silent(LONGEST_SILENCE_SECONDS)
