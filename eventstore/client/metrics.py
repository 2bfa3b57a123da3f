"""What a process tells Prometheus, on a port of its own; and what its subscription counts."""

import contextlib
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator

from django.conf import settings
from django.core.management.base import CommandError
from prometheus_client import Counter, Gauge, start_http_server

HIGHEST_PORT = 65_535

EVENTS = Counter("orders_subscription_events", "Events applied or reacted to.", ["subscription"])
BEHIND = Gauge(
    "orders_subscription_pending_events",
    "Events that NATS has for the subscription and that are not done, as last heard.",
    ["subscription"],
)
WAITING = Gauge(
    "orders_subscription_waiting",
    "1 while work stands still because something it needs is away, else 0.",
    ["subscription"],
)


def add_metrics_argument(parser: ArgumentParser) -> None:
    """Give a command the option `--metrics-port`."""
    parser.add_argument(
        "--metrics-port",
        type=_port,
        default=settings.METRICS_PORT,
        help="serve Prometheus metrics there, on ORDERS_METRICS_HOST; 0: nowhere",
    )


@contextlib.contextmanager
def metrics_served(port: int) -> Iterator[None]:
    """Serve this process' metrics meanwhile, unless the port is 0.

    Raises:
        CommandError: nothing can listen there.
    """
    if not port:
        yield
        return
    host = settings.METRICS_HOST
    try:
        server, thread = start_http_server(port, host)
    except OSError as error:
        raise CommandError(f"cannot serve metrics on {host}:{port}: {error.strerror}") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > HIGHEST_PORT:
        raise ArgumentTypeError(f"is a number from 0 to {HIGHEST_PORT}")
    return int(text)
