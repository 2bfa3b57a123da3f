"""`manage.py demo`: orders of different fates through the public API."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from orders_site.bootstrap import api_token_path
from orders_site.demo import FATES, Demo, Placed
from orders_site.embedded.ports import web_address
from orders_site.embedded.readiness import http_ok

STOP_SECONDS = 40.0
# Of what is written to a file or a pipe.
PLAIN_WIDTH = 160


class Command(BaseCommand):
    help = (
        "Places some orders of different fates through the public API and shows what happens. "
        "Uses the system that runs, or starts and stops one. Exits 0 only if all met their fate."
    )
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = PLAIN_WIDTH
        site = web_address(settings.WEB_HOST, settings.WEB_PORT)
        with _running_system(site, console):
            try:
                placed = self._run(Demo(site, api_token_path().read_text().strip()), console)
            except OSError as error:
                raise CommandError(f"The demo API client's token can't be read: {error}") from None
            except httpx.HTTPError as error:
                raise CommandError(f"The API at {site} failed: {error}") from None
        console.print(summary(placed))
        if failed := [order for order in placed if not order.met]:
            raise CommandError(f"{len(failed)} of {len(placed)} orders did not meet their fate.")
        console.print(f"All {len(placed)} orders met their fate.", style="green")

    def _run(self, demo: Demo, console: Console) -> list[Placed]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("Orders at their end", total=len(FATES))
            placed = demo.place()
            for order, event in demo.follow(placed):
                console.print(line(order, event))
                progress.update(task, completed=sum(each.met for each in placed))
            progress.update(task, completed=sum(each.met for each in placed))
        return placed


def line(order: Placed, event: dict[str, Any]) -> str:
    """One event of an order's timeline, beside the order's row in the query model."""
    row = order.row
    return (
        f"{order.order_id[:8]}  {order.fate.title:<28} {event['version']}  {event['type']:<24} "
        f"[dim]row: version {row['version']}, {row['status']}, "
        f"payment {row['payment_status']}[/dim]"
    )


def summary(placed: list[Placed]) -> Table:
    """All orders with what they should have become and what they did."""
    table = Table("order", "fate", "expected", "query model", "events")
    for order in placed:
        fate, row = order.fate, order.row
        table.add_row(
            order.order_id,
            fate.title,
            f"{fate.status}, {fate.payment_status}",
            f"{row.get('status')}, {row.get('payment_status')}",
            " ".join(event["type"].removeprefix("order-") for event in order.events),
            style="" if order.met else "red",
        )
    return table


@contextmanager
def _running_system(site: str, console: Console) -> Iterator[None]:
    """The system that answers at `site`, or one that is started and stopped here."""
    answers = http_ok(f"{site}/healthz")
    if answers():
        yield
        return
    console.print("Nothing runs yet: starting the system for the demo ...")
    manage = Path(settings.BASE_DIR) / "manage.py"
    command = [sys.executable, str(manage), "up", "--quiet"]
    system = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)
    try:
        if not _said_ready(system):
            raise CommandError("The system did not start; try `manage.py up` to see why.")
        yield
    finally:
        system.send_signal(signal.SIGTERM)
        try:
            system.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            system.kill()


def _said_ready(system: "subprocess.Popen[str]") -> bool:
    if system.stdout is None:
        return False
    return any(text.startswith("Ready in") for text in system.stdout)
