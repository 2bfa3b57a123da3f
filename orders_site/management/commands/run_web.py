"""`manage.py run_web`: the web server in front of the WSGI application."""

import gc
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.errors import FatalError
from granian.http import HTTP1Settings
from granian.log import LOGGING_CONFIG, LogLevels

from eventstore.client.metrics import add_metrics_argument
from eventstore.listening import CannotListen, address_to_listen_on

HEADER_TIMEOUT_MILLISECONDS = 10_000


class Command(BaseCommand):
    help = "Serves the REST API and the admin over HTTP until SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default=settings.WEB_HOST)
        parser.add_argument("--port", type=_up_to(65535), default=settings.WEB_PORT)
        parser.add_argument("--workers", type=_up_to(128), default=1, help="worker processes")
        add_metrics_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            address = address_to_listen_on(options["host"], options["port"])
        except CannotListen as problem:
            raise CommandError(str(problem)) from None
        # Granian reads headers outside of Python, so that slow ones hold no thread; of slow bodies
        # its worker rids itself. Above the backpressure it answers 503 itself instead of queueing
        # without bound. It forks its workers from this process, so what Django's checks have loaded
        # here is shared with them.
        server = Granian(
            "orders_site.web_worker:application",
            interface=Interfaces.WSGI,
            address=address,
            port=options["port"],
            workers=options["workers"],
            blocking_threads=settings.WEB_THREADS,
            backpressure=settings.WEB_THREADS * 16,
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MILLISECONDS),
            http=HTTPModes.http1,
            websockets=False,
            workers_kill_timeout=10,
            respawn_failed_workers=True,
            log_level=LogLevels(settings.LOG_LEVEL.lower()),
            log_dictconfig=_logging(),
            working_dir=settings.BASE_DIR,
            **_metrics(options["metrics_port"]),
        )
        connections.close_all()
        gc.collect()
        gc.freeze()
        try:
            server.serve()
        except FatalError as error:
            raise CommandError(str(error)) from None


def _metrics(port: int) -> dict[str, Any]:
    """Granian's own, of its workers: the application's are at /metrics."""
    if not port:
        return {}
    try:
        address = address_to_listen_on(settings.METRICS_HOST, port)
    except CannotListen as problem:
        raise CommandError(f"no metrics: {problem}") from None
    return {"metrics_enabled": True, "metrics_address": address, "metrics_port": port}


def _logging() -> dict[str, Any]:
    """Granian's own logging, without its warning of threads that our setting asks for."""
    given: dict[str, Any] = LOGGING_CONFIG
    loggers = given["loggers"]
    return {
        "filters": {"wanted": {"()": "orders_site.log_filters.ThreadsAreWanted"}},
        "loggers": {**loggers, "_granian": {**loggers["_granian"], "filters": ["wanted"]}},
    }


def _up_to(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
            raise ArgumentTypeError(f"is a number from 1 to {most}")
        return int(text)

    return number
