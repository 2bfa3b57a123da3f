"""Rebuilds the query models from the log."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from eventstore.client.connection import event_store
from queries.management.walking import add_resume_arguments, completed
from queries.projector import SUBSCRIPTION
from queries.verification import Verification
from queries.walk import Walk


class Command(BaseCommand):
    help = (
        "Writes every order row and its items anew from its events, removes what the log does not "
        "have, and recomputes the summaries. Page by page, in place: readers and workers go on "
        "meanwhile, and a rebuild that was stopped can be gone on with."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_resume_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        verification = Verification(
            store=event_store(), subscription=SUBSCRIPTION, repair=True, every=True
        )
        completed(
            Walk(verification, self.stdout.write, options["from_position"], options["from_order"])
        )
