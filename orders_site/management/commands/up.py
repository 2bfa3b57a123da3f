"""`manage.py up`: the whole system on this machine, from nothing."""

import contextlib
import importlib
import os
import shlex
import signal
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from eventstore.client.checks import SETTINGS_CHECKS
from orders_site.databases import embedded_databases
from orders_site.embedded import readiness
from orders_site.embedded.credentials import load, load_or_create
from orders_site.embedded.forking import ARENAS, ForkServer
from orders_site.embedded.nats import EmbeddedNats
from orders_site.embedded.parts import LogScreen, PythonPart
from orders_site.embedded.ports import refuse_taken_by_others, web_address
from orders_site.embedded.postgres import EmbeddedPostgres
from orders_site.embedded.process import EmbeddedServerError
from orders_site.embedded.supervisor import Supervisor
from orders_site.embedded.valkey import EmbeddedValkey
from orders_site.prepare import Prepared, prepared

MANAGE = str(Path(settings.BASE_DIR) / "manage.py")
# The durable of the query service's queue group, and its two workers.
QUERY_WORKERS = ("orderquery-store1", "orderquery-store2")
# What most of our processes load. They are forked when it is loaded, so that it is there once.
SHARED = (
    "eventstore.client.command",
    "eventstore.management.commands.run_eventstore",
    "orders_site.ordering.management.commands.subscribe_ordering",
    "payments.management.commands.subscribe_payments",
    "restaurant.management.commands.subscribe_restaurant",
    "queries.management.commands.subscribe_queries",
)


EmbeddedServer = EmbeddedPostgres | EmbeddedNats | EmbeddedValkey


class Command(BaseCommand):
    help = (
        "Starts everything on this machine and keeps it running until Ctrl-C: the embedded "
        "PostgreSQL, NATS and Valkey (each only where its URL is not set), then every process."
    )
    # The checks look at settings that need the credentials, which the first start creates.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--quiet", action="store_true", help="keep the processes' logs off the screen"
        )
        parser.add_argument(
            "--servers",
            action="store_true",
            help="only PostgreSQL, NATS and Valkey: for commands that need everything else stopped",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        data_dir = Path(settings.DATA_DIR)
        try:
            if load(data_dir) is None:
                _restart_with_credentials(data_dir)
        except (OSError, ValueError) as error:
            raise CommandError(f"the data folder can't be used: {error}") from None
        # The web process makes the others, which would load all that it serves into this one.
        self.check(tags=[SETTINGS_CHECKS])
        self.forks = _fork_server(data_dir)
        self.supervisor = Supervisor()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # `nohup` ignores the end of the terminal, and so do we then.
            if (number, signal.getsignal(number)) != (signal.SIGHUP, signal.SIG_IGN):
                signal.signal(number, self._stop)
        parts = [] if options["servers"] else processes(data_dir, self.forks)
        screen = LogScreen(sys.stdout, {part.name: part.log_path for part in parts})
        if not options["quiet"]:
            screen.start()
        refused = False
        try:
            self._run(data_dir, parts)
        except (EmbeddedServerError, OSError) as error:
            # What runs there is not ours.
            refused = not self.supervisor.begun
            raise CommandError(str(error).strip()) from None
        finally:
            if not refused:
                self._say("Stopping ...")
            self.supervisor.stop()
            self.forks.stop()
            if not options["quiet"]:
                screen.stop()
            if not refused:
                self._say("Stopped; nothing is left running.")

    def _run(self, data_dir: Path, parts: Sequence[PythonPart]) -> None:
        started = time.monotonic()
        self._say(f"Starting in {data_dir} ...")
        wanted = servers(data_dir)
        refuse_taken_by_others([*wanted, *parts])
        self.supervisor.start(wanted)
        done = prepared(self.forks, data_dir)
        if done.migrated:
            self._say(f"Migrated: {', '.join(done.migrated)}")
        if self.supervisor.stopping.is_set():
            return
        self.supervisor.start(parts)
        seconds = time.monotonic() - started
        self._say(welcome(seconds, done) if parts else servers_alone(seconds))
        self.supervisor.stopping.wait()

    def _stop(self, number: int, frame: object) -> None:
        if self.supervisor.stopping.is_set():
            return
        self.supervisor.stopping.set()
        if threading.current_thread() is threading.main_thread():
            raise SystemExit(0)

    def _say(self, text: str) -> None:
        # A reader that is gone (`| head`, a closed terminal) must not keep us from stopping.
        with contextlib.suppress(OSError):
            self.stdout.write(text)
            self.stdout.flush()


def _restart_with_credentials(data_dir: Path) -> None:
    """The settings were read before the folder had secrets: create them and read once more."""
    load_or_create(data_dir)
    os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 - the same command again


def _fork_server(data_dir: Path) -> ForkServer:
    """To be made before there are threads, and before signals mean here what they do to nobody
    else; it passes on the environment as it is now.
    """
    os.environ.update(PYTHONPATH=str(settings.BASE_DIR), PYTHONUNBUFFERED="1")
    # A relative one means something else where they run, each in a folder of its own.
    os.environ["ORDERS_DATA_DIR"] = str(data_dir)
    # glibc keeps a heap per thread otherwise, and what is freed in one never leaves it.
    os.environ.setdefault("MALLOC_ARENA_MAX", str(ARENAS))
    # For the sandbox gateway, which has no settings.
    os.environ["GATEWAY_API_KEY"] = settings.GATEWAY_API_KEY
    for module in SHARED:
        importlib.import_module(module)
    return ForkServer(f"orders fork server of {data_dir}")


def servers(data_dir: Path) -> list[EmbeddedServer]:
    """The embedded servers whose URL the environment does not give."""
    credentials = load_or_create(data_dir)
    given = settings.ENVIRONMENT.given
    wanted: list[EmbeddedServer] = []
    if embedded_databases(settings.ENVIRONMENT):
        wanted.append(_PostgresWithDatabases(data_dir))
    if not given("NATS_URL"):
        wanted.append(
            EmbeddedNats(data_dir, settings.NATS_PORT, credentials, settings.EVENTSTORE_STREAMS)
        )
    if not given("CELERY_BROKER_URL"):
        wanted.append(EmbeddedValkey(data_dir, settings.VALKEY_PORT, credentials))
    return wanted


class _PostgresWithDatabases(EmbeddedPostgres):
    """The embedded PostgreSQL, with the contexts' databases in it."""

    def start(self) -> None:
        super().start()
        for name in embedded_databases(settings.ENVIRONMENT):
            self.create_database(name)


def processes(data_dir: Path, forks: ForkServer) -> list[PythonPart]:
    """Our processes, in the order in which they are stopped last to first."""
    worker_ready = data_dir / "run" / "worker.ready"
    site = web_address(settings.WEB_HOST, settings.WEB_PORT)
    durables = {
        "subscribe_ordering": "ordering-saga",
        "subscribe_payments": "payments",
        "subscribe_restaurant": "restaurant",
    }

    def part(name: str, arguments: list[str], ready: readiness.Probe, **more: Any) -> PythonPart:
        return PythonPart(name, data_dir, arguments, ready, forks=forks, **more)

    def subscriber(name: str, arguments: list[str], durable: str, workers: int = 1) -> PythonPart:
        stream = settings.EVENTSTORE_STREAMS[0]
        probe = readiness.subscribed(settings.NATS_URL, stream, durable, workers)
        return part(name, [MANAGE, *arguments], probe)

    parts = [
        part(
            "eventstore",
            [MANAGE, "run_eventstore"],
            readiness.grpc_serving(settings.EVENTSTORE_ADDRESS),
            ports={settings.EVENTSTORE_PORT: "ORDERS_EVENTSTORE_PORT"},
        ),
        *(subscriber(name, [name], durable) for name, durable in durables.items()),
        *(
            subscriber(name, ["subscribe_queries", "--name", name], "orderquery-store")
            for name in QUERY_WORKERS
        ),
        part(
            "worker",
            [
                MANAGE,
                "run_worker",
                f"--beat={data_dir / 'beat-schedule'}",
                f"--ready-file={worker_ready}",
            ],
            readiness.told(worker_ready, data_dir / "run" / "worker.pid"),
        ),
        part(
            "web",
            [MANAGE, "run_web"],
            readiness.http_ok(f"{site}/healthz"),
            ports={settings.WEB_PORT: "ORDERS_WEB_PORT"},
        ),
    ]
    if settings.METRICS_PORT:
        for port, one in enumerate(parts, settings.METRICS_PORT):
            one.arguments = [*one.arguments, f"--metrics-port={port}"]
            one.ports = {**one.ports, port: "ORDERS_METRICS_PORT"}
    if not settings.ENVIRONMENT.given("GATEWAY_URL"):
        parts.insert(0, _sandbox_gateway(data_dir, forks))
    return parts


def _sandbox_gateway(data_dir: Path, forks: ForkServer) -> PythonPart:
    return PythonPart(
        "gateway",
        data_dir,
        [
            "-m",
            "payments.gateways.sandbox",
            f"--port={settings.GATEWAY_PORT}",
            f"--ledger={data_dir / 'gateway.sqlite3'}",
        ],
        readiness.http_ok(f"{settings.GATEWAY_URL}/healthz"),
        ports={settings.GATEWAY_PORT: "ORDERS_GATEWAY_PORT"},
        forks=forks,
    )


def servers_alone(seconds: float) -> str:
    """What is said when only the servers were asked for and run."""
    return f"The servers run, after {seconds:.1f} s; nothing else does. Ctrl-C stops them."


def welcome(seconds: float, done: Prepared) -> str:
    """What to do now: addresses, who to log in as, and an order ready to paste."""
    from orders_site import bootstrap

    site = web_address(settings.WEB_HOST, settings.WEB_PORT)
    token_file, password_file = bootstrap.api_token_path(), bootstrap.admin_password_path()
    lines = [
        "",
        f"Ready in {seconds:.1f} s.",
        f"  Admin      {site}/admin/   user {bootstrap.ADMIN}, password "
        + (done.admin_password or f"in {password_file}"),
        f"  API docs   {site}/api/docs",
        f"  gRPC       {settings.EVENTSTORE_ADDRESS}   eventstore.EventStore",
        f"  API token  {done.api_token or f'in {token_file}'}",
        "",
        "Place an order:",
        "",
        f"  curl -i {site}/api/orders \\",
        f'    -H "Authorization: Bearer $(cat {shlex.quote(str(token_file))})" \\',
        "    -H 'Content-Type: application/json' -H \"Idempotency-Key: $(date +%s%N)\" \\",
        '    -d \'{"customer_id": "ada", "restaurant_id": "pizza-roma", "order_items": '
        '[{"code": "margherita", "name": "Pizza Margherita", "unit_price": "9.50", '
        '"quantity": 2}]}\'',
        "",
        "Ctrl-C stops everything.",
        "",
    ]
    return "\n".join(lines)
