"""Writes the log into a file."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from eventstore.backup.archive import ArchiveDamaged, export
from eventstore.client.errors import EventStoreError, TransientError, UnknownStream
from eventstore.client.events import DEFAULT_STREAM
from eventstore.management import arguments
from eventstore.meter import Meter
from eventstore.store import SqlEventStore


class Command(BaseCommand):
    help = (
        "Writes a stream of the log into a file, gzip of JSON lines, each event with its hash, "
        "checked on the way. Run again it adds what is new, and goes on where it was interrupted. "
        "Safe while the system runs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=arguments.path, help="such as orders.jsonl.gz")
        parser.add_argument("--stream", type=arguments.stream, default=DEFAULT_STREAM)

    def handle(self, *args: Any, **options: Any) -> None:
        store, path, stream = SqlEventStore(), options["file"], options["stream"]
        try:
            meter = Meter(sys.stderr, store.head(stream).position)
            done = export(store, stream, path, meter.show)
            meter.clear()
        except KeyboardInterrupt:
            raise CommandError(
                "stopped; run it again, it goes on", returncode=arguments.INTERRUPTED
            ) from None
        except ArchiveDamaged as problem:
            raise CommandError(f"{path}: {problem}") from None
        except UnknownStream:
            raise CommandError(f"there is no stream {stream}", returncode=arguments.USAGE) from None
        except (EventStoreError, TransientError) as error:
            raise CommandError(f"the log can't be read: {error}") from error
        except OSError as error:
            raise CommandError(f"{path} can't be written: {error.strerror}") from error
        self.stdout.write(
            f"{path} has log {done.log_id} ({stream}) up to {done.position:,}, whose hash is "
            f"{done.hash.hex()}"
        )
