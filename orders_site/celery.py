"""The Celery application: workers run what `tasks.py` of each context declares."""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from celery import Celery, bootsteps, signals
from celery.beat import Service
from prometheus_client import Counter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orders_site.settings")
# Celery would run all of Django's checks, which loads the whole admin, and ignore what they find.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

STOP_SECONDS = 2.0
TASKS = Counter("orders_tasks", "Celery tasks that ended.", ["task", "state"])

app = Celery("orders")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


class Beat(threading.Thread):
    """Beat in a thread; a worker whose beat has died ends too, so that both are started again."""

    def __init__(self, schedule: Path) -> None:
        super().__init__(name="beat", daemon=True)
        self._service = Service(
            app, max_interval=1, schedule_filename=str(schedule), remote_control=False
        )
        self._stopping = False

    def run(self) -> None:
        try:
            self._service.start()
        finally:
            if not self._stopping:
                os.kill(os.getpid(), signal.SIGTERM)

    def stop(self) -> None:
        """Stop, but wait no longer for a broker that is away."""
        self._stopping = True
        self._service.stop()
        self.join(STOP_SECONDS)


class BeatInWorker(bootsteps.StartStopStep):
    """Beat as a thread of the worker: where there is one worker, it saves a whole process.

    Celery's own `--beat` forks a process that nobody starts again when it dies.
    """

    requires = ("celery.worker.components:Timer",)

    def __init__(self, worker: Any, beat_schedule: str | None = None, **options: Any) -> None:
        super().__init__(worker, **options)
        self.enabled = bool(beat_schedule)
        self._schedule = beat_schedule

    def create(self, worker: Any) -> Beat:
        return Beat(Path(self._schedule or ""))


class TellReady(bootsteps.Step):
    """Tells whoever started the worker that it takes tasks from now on."""

    def __init__(self, worker: Any, ready_file: str | None = None, **options: Any) -> None:
        super().__init__(worker, **options)
        if ready_file:
            path = Path(ready_file)
            signals.worker_ready.connect(lambda **_: path.write_text(str(os.getpid())), weak=False)


@signals.task_postrun.connect
def count(task: Any, state: str | None = None, **_: Any) -> None:
    """Count a task that ended."""
    TASKS.labels(task.name, state or "UNKNOWN").inc()


app.steps["worker"].update([BeatInWorker, TellReady])


@signals.worker_init.connect
@signals.beat_init.connect
def refuse_wrong_settings(**_: Any) -> None:
    """Exit with all that is wrong with the settings, as every command does."""
    from django.core.checks import run_checks

    from eventstore.client.checks import SETTINGS_CHECKS

    wrong = [message for message in run_checks(tags=[SETTINGS_CHECKS]) if message.is_serious()]
    if wrong:
        sys.exit("\n".join(map(str, wrong)))
