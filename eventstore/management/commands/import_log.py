"""Puts an archive of a log into an empty database."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError

from eventstore.backup.archive import ArchiveDamaged, verified
from eventstore.backup.importing import LogMoved, NotEmpty, load
from eventstore.client.errors import EventStoreError, TransientError
from eventstore.management import arguments
from eventstore.meter import Meter
from eventstore.transactions import LogDatabase


class Command(BaseCommand):
    help = (
        "Puts a file of export_log into a migrated event store database that has no events in that "
        "stream: same ids, versions, positions, times, hashes and log id. The file is read through "
        "and checked first. An import that was interrupted goes on. Run it before the event store "
        "is started."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=arguments.path, help="what export_log wrote")
        parser.add_argument(
            "--check", action="store_true", help="only read the file through and check it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path = options["file"]
        try:
            done = _imported(path, check=options["check"])
        except KeyboardInterrupt:
            raise CommandError(
                "stopped; run it again, it goes on", returncode=arguments.INTERRUPTED
            ) from None
        except (ArchiveDamaged, LogMoved, NotEmpty) as problem:
            raise CommandError(f"{path}: {problem}") from None
        except OSError as error:
            raise CommandError(f"{path} can't be read: {error.strerror}") from error
        except (EventStoreError, TransientError) as error:
            raise CommandError(f"the database is away, run it again later: {error}") from error
        except DatabaseError as error:
            text = str(error).strip().partition("\n")[0]
            raise CommandError(f"the database refuses: {text}") from error
        self.stdout.write(done)


def _imported(path: Path, *, check: bool) -> str:
    """Import the file, or only check it; what came of it, in words."""
    meter = Meter(sys.stderr, 0, "events read")
    archived = verified(path, meter.show)
    meter.clear()
    holds = (
        f"log {archived.log_id} ({archived.stream}) up to {archived.position:,}, whose "
        f"hash is {archived.hash.hex()}"
    )
    if check:
        return f"{path} is right: it has {holds}"
    meter = Meter(sys.stderr, archived.position)
    new = load(LogDatabase("eventstore"), path, archived, meter.show)
    meter.clear()
    nothing = archived.position and not new
    return f"{'nothing was new: it has' if nothing else 'imported'} {holds}"
