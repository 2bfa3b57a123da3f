"""Compares the gateway's ledger with the log, once."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventstore.client import TransientError
from eventstore.client.connection import event_store
from payments.connection import payment_gateway
from payments.gateways.port import GatewayRejectedRequest
from payments.handlers import utc_now
from payments.reconciliation import Reconciliation


class Command(BaseCommand):
    help = (
        "Compares the payment gateway's ledger with the event log, both ways, and finishes "
        "payments whose outcome is unknown. Exits 1 if anything did not agree."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--after", help="where in the gateway's ledger the last run ended")
        parser.add_argument("--hours", type=int, default=48, help="age of the rows to check back")
        parser.add_argument("--limit", type=int, default=10_000, help="of each kind, at most")

    def handle(self, *args: Any, **options: Any) -> None:
        if not (1 <= options["hours"] <= 24 * 3660 and 1 <= options["limit"] <= 10_000_000):
            raise CommandError("--hours and --limit are positive numbers", returncode=2)
        run = Reconciliation(
            store=event_store(),
            gateway=payment_gateway(),
            since=utc_now() - timedelta(hours=options["hours"]),
            limit=options["limit"],
            cursor=options["after"],
        )
        found = 0
        try:
            for difference in run.differences():
                found += 1
                self.stdout.write(str(difference))
        except GatewayRejectedRequest as error:
            raise CommandError(f"the gateway refuses to list: {error.reason}") from error
        except TransientError as error:
            raise CommandError(f"gateway or event store are away: {error}") from error
        if run.cursor:
            self.stdout.write(f"the gateway's ledger is read up to --after {run.cursor}")
        if found:
            raise CommandError(f"{found} difference{'' if found == 1 else 's'}")
        self.stdout.write("gateway and log agree")
