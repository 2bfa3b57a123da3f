"""Gives a database role the rights that the event store needs, and takes all others from it."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connections

from eventstore.integrity.writer_role import CannotGrant, grant, statements
from eventstore.management import arguments


class Command(BaseCommand):
    help = (
        "Makes an existing database role the event store's writer: it may add and read events and "
        "move the head, but change or delete no event. Run it as the owner of the tables, and give "
        "the role to run_eventstore and run_publisher."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", help="the role, made before with CREATE ROLE")
        parser.add_argument("--print", action="store_true", help="only print the SQL")

    def handle(self, *args: Any, **options: Any) -> None:
        role = options["role"]
        if not role or "\x00" in role or len(role) > 63:
            raise CommandError("a role has 1 to 63 characters", returncode=arguments.USAGE)
        if options["print"]:
            with connections["eventstore"].cursor() as cursor:
                for statement in statements(role):
                    self.stdout.write(f"{statement.as_string(cursor.connection)};")
            return
        try:
            grant(role)
        except CannotGrant as problem:
            raise CommandError(str(problem)) from None
        except Error as error:
            text = str(error).strip().partition("\n")[0]
            raise CommandError(f"the database refuses: {text}") from error
        self.stdout.write(f"{role} may add and read events, and nothing else")
