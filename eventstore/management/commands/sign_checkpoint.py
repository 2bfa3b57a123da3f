"""Signs where each stream of the log stands, once."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from eventstore.client.connection import event_store
from eventstore.client.errors import EventStoreError, TransientError
from eventstore.integrity.signing import KeyUnusable, LogContradicts, Signer, create_key


class Command(BaseCommand):
    help = (
        "Signs the position and hash that each stream of the log has reached, and appends that to "
        "a file outside of the database. Celery beat does so too. verify_log reads them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--create-key",
            action="store_true",
            help="only make the key to sign with, unless there is one: ORDERS_CHECKPOINT_KEY_FILE",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["create_key"]:
            self._create_key()
        else:
            self._sign()

    def _create_key(self) -> None:
        try:
            path = create_key()
        except OSError as error:
            raise CommandError(f"the key can't be written: {error}") from error
        self.stdout.write(f"The key is in {path}")

    def _sign(self) -> None:
        signed: list[str] = []
        try:
            signer = Signer.from_settings(event_store())
            for stream in settings.EVENTSTORE_STREAMS:
                done = signer.sign(stream)
                place = f"position {done.position} in {signer.file(stream).path}" if done else ""
                signed.append(f"{stream}: {place or 'nothing new since the last checkpoint'}")
        except (KeyUnusable, LogContradicts) as problem:
            raise CommandError(str(problem)) from None
        except (EventStoreError, TransientError) as error:
            raise CommandError(f"the log can't be read: {error}") from error
        except OSError as error:
            raise CommandError(f"the checkpoint can't be written: {error}") from error
        finally:
            for line in signed:
                self.stdout.write(line)
