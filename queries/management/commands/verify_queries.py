"""Compares the query models with the log."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventstore.client.connection import event_store
from queries.management.walking import add_resume_arguments, completed
from queries.projector import SUBSCRIPTION
from queries.verification import Verification
from queries.walk import Walk


class Command(BaseCommand):
    help = (
        "Compares every order row with the fold of its events, and the summaries with the rows. "
        "Safe while workers run. Exit code 1 if something differs and is not repaired."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--repair", action="store_true", help="put right what differs")
        add_resume_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        verification = Verification(
            store=event_store(), subscription=SUBSCRIPTION, repair=options["repair"]
        )
        walk = Walk(
            verification, self.stdout.write, options["from_position"], options["from_order"]
        )
        differences = completed(walk)
        if differences and not options["repair"]:
            raise CommandError(f"{differences:,} differences; --repair puts them right")
        if differences:
            self.stdout.write(f"{differences:,} differences put right")
