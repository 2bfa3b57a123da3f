"""Serves the log over gRPC, and publishes what is appended to NATS."""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from prometheus_client import REGISTRY

from eventstore import metrics
from eventstore.client.checks import SETTINGS_CHECKS
from eventstore.client.metrics import add_metrics_argument, metrics_served
from eventstore.client.tls import Tls, TlsMisconfigured
from eventstore.listening import CannotListen
from eventstore.publisher import Publisher
from eventstore.publishing.hints import CommitHints
from eventstore.server import EventStoreServer
from eventstore.store import SqlEventStore
from eventstore.transactions import LONGEST_SILENCE_SECONDS
from eventstore.watching import Activity, DatabaseWatch

TICK_SECONDS = 0.5
# Together below the 10 seconds after which a supervisor loses its patience.
DRAIN_SECONDS = 6.0
PUBLISHER_STOP_SECONDS = 1.5
HINTS_STOP_SECONDS = 0.5

logger = logging.getLogger("eventstore")


class Command(BaseCommand):
    requires_system_checks: list[str] = [SETTINGS_CHECKS]
    help = "Serve the event store over gRPC and publish its events to NATS."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.EVENTSTORE_HOST, help="to listen on")
        parser.add_argument(
            "--port", type=int, default=settings.EVENTSTORE_PORT, help="to listen on"
        )
        parser.add_argument(
            "--no-publisher",
            dest="publisher",
            action="store_false",
            help="leave publishing to `run_publisher`",
        )
        add_metrics_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        store = SqlEventStore(aggregate_events=settings.EVENTSTORE_AGGREGATE_EVENTS)
        activity = Activity()
        store.commits.hooks += [activity.committed, metrics.committed]
        server = _server(store, options["host"], options["port"])
        watch = DatabaseWatch(store, settings.EVENTSTORE_STREAMS)
        with ExitStack() as stack:
            stack.enter_context(metrics_served(options["metrics_port"]))
            if options["publisher"]:
                stack.enter_context(_publishing(store))
            stack.enter_context(_hinting(store))
            watch.start()
            stack.callback(watch.stop)
            server.start()
            _serve(server, watch, activity, stopping)
            logger.info("stopping")
            drained = server.stop(DRAIN_SECONDS)
        logger.info("stopped")
        if not drained:
            # Threads that the database holds up would keep the interpreter from exiting. Their
            # callers were cut off already and know that they know nothing.
            logging.shutdown()
            os._exit(0)


def _server(store: SqlEventStore, host: str, port: int) -> EventStoreServer:
    if not 0 <= port <= 65535:
        raise CommandError(f"no port: {port}")
    try:
        return EventStoreServer(
            store,
            host,
            port,
            threads=settings.EVENTSTORE_THREADS,
            reflection=settings.EVENTSTORE_REFLECTION,
            tls=Tls.from_settings(),
        )
    except (CannotListen, TlsMisconfigured) as error:
        raise CommandError(str(error)) from error


def _serve(
    server: EventStoreServer, watch: DatabaseWatch, activity: Activity, stopping: threading.Event
) -> None:
    """Keep the health service true and the log informed until it is time to stop."""
    serving: bool | None = None
    while not stopping.wait(TICK_SECONDS if serving is not None else 0.05):
        answers = watch.answers
        if answers != serving and (answers or watch.looked):
            serving = answers
            server.set_serving(serving)
            if serving:
                logger.info("ready: gRPC on port %d", server.port)
            else:
                logger.warning("waiting for the database; every call is answered UNAVAILABLE")
        server.store.database.cut_silent(LONGEST_SILENCE_SECONDS)
        for line in activity.lines(time.monotonic()):
            logger.info(line)


@contextlib.contextmanager
def _publishing(store: SqlEventStore) -> Iterator[None]:
    publisher = Publisher(
        store,
        streams=settings.EVENTSTORE_STREAMS,
        nats_url=settings.NATS_PUBLISHER_URL,
        replicas=settings.NATS_REPLICAS,
        keep=settings.NATS_KEEP_EVENTS,
    )
    store.commits.hooks.append(publisher.offer)
    REGISTRY.register(metrics.Published(publisher.status))
    publisher.start()
    try:
        yield
    finally:
        publisher.stop(PUBLISHER_STOP_SECONDS)


@contextlib.contextmanager
def _hinting(store: SqlEventStore) -> Iterator[None]:
    """Tell the other servers of this one's commits, and wake followers at theirs."""
    hints = CommitHints(settings.NATS_PUBLISHER_URL, lambda *_: store.commits.wake())
    store.commits.hooks.append(lambda events: hints.hint(events[-1].stream, events[-1].position))
    hints.start()
    try:
        yield
    finally:
        hints.stop(HINTS_STOP_SECONDS)
