"""Rebuilds the query models from the log."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from eventstore.client.connection import event_store
from queries.management.walking import add_resume_arguments, completed
from queries.rebuilding import Rebuild


class Command(BaseCommand):
    help = (
        "Brings every order row and its items to what the log says, removes what the log does not "
        "have, and recomputes the summaries. In place: readers and workers go on meanwhile, and a "
        "rebuild that was stopped or killed can be gone on with."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_resume_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        completed(
            Rebuild(
                event_store(), self.stdout.write, options["from_position"], options["from_order"]
            )
        )
