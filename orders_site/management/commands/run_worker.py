"""`manage.py run_worker`: a Celery worker, with beat in it where it is the only one."""

import sys
import warnings
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from eventstore.client.checks import SETTINGS_CHECKS
from eventstore.client.metrics import add_metrics_argument, metrics_served


class Command(BaseCommand):
    help = (
        "Runs Celery's tasks until SIGTERM: `celery worker` with a pool of threads, without what "
        "its command line loads beside it."
    )
    requires_system_checks: list[str] = [SETTINGS_CHECKS]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--threads", type=int, choices=range(1, 65), metavar="N", default=2)
        parser.add_argument(
            "--beat", metavar="FILE", help="run beat too, with its schedule in FILE; in one worker"
        )
        parser.add_argument(
            "--ready-file", metavar="FILE", help="write the process id into FILE when ready"
        )
        add_metrics_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        # Imported here: no other command needs Celery.
        from celery.exceptions import SecurityWarning

        from orders_site.celery import app

        # What it warns root of is code in messages; CELERY_ACCEPT_CONTENT lets in JSON alone.
        warned = "You're running the worker with superuser privileges"
        warnings.filterwarnings("ignore", warned, SecurityWarning)
        worker = app.Worker(
            pool="threads",
            concurrency=options["threads"],
            loglevel="WARNING",
            without_mingle=True,
            quiet=True,
            redirect_stdouts=False,
            beat_schedule=options["beat"],
            ready_file=options["ready_file"],
        )
        with metrics_served(options["metrics_port"]):
            worker.start()
        sys.exit(worker.exitcode)
