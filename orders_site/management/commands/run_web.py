"""`manage.py run_web`: the web server in front of the WSGI application."""

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

HEADER_TIMEOUT_MILLISECONDS = 10_000


class Command(BaseCommand):
    help = "Serves the REST API and the admin over HTTP until SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default=settings.WEB_HOST)
        parser.add_argument("--port", type=_up_to(65535), default=settings.WEB_PORT)
        parser.add_argument("--workers", type=_up_to(128), default=1, help="worker processes")

    def handle(self, *args: Any, **options: Any) -> None:
        # Granian reads slow clients outside of Python, so that they hold no thread; above the
        # backpressure it answers 503 itself instead of queueing without bound.
        command = [
            sys.executable,
            "-m",
            "granian",
            "--interface=wsgi",
            f"--host={options['host']}",
            f"--port={options['port']}",
            f"--workers={options['workers']}",
            f"--blocking-threads={settings.WEB_THREADS}",
            f"--backpressure={settings.WEB_THREADS * 16}",
            f"--http1-header-read-timeout={HEADER_TIMEOUT_MILLISECONDS}",
            "--http=1",
            "--no-ws",
            "--workers-kill-timeout=10",
            "--respawn-failed-workers",
            f"--log-level={settings.LOG_LEVEL.lower()}",
            f"--working-dir={settings.BASE_DIR}",
            "orders_site.wsgi:application",
        ]
        os.execv(sys.executable, command)  # noqa: S606 - no shell, and our own interpreter


def _up_to(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
            raise ArgumentTypeError(f"is a number from 1 to {most}")
        return int(text)

    return number
