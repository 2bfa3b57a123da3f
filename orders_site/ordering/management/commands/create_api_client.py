"""`manage.py create_api_client NAME`: a new client of the REST API and its token."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders_site.ordering.models import ApiClient


class Command(BaseCommand):
    help = "Creates a client of the REST API; prints its token, once, alone on standard output."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="what the client is called, up to 100 characters")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            client, token = ApiClient.issue(options["name"])
        except ValidationError as refused:
            raise CommandError(f"name: {' '.join(refused.messages)}") from None
        self.stderr.write(f"API client {client.name} is {client.id}. Its token, shown only now:")
        self.stdout.write(token)
