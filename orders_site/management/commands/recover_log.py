"""Recovers from an event store database that was restored to an older point."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, assert_never

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError

from eventstore.backup.importing import LogMoved
from eventstore.backup.recovery import Ahead, Foreign, Nothing, Unfinished
from eventstore.backup.restoring import NotRestorable
from eventstore.backup.stream_copy import stream_copy
from eventstore.client.broker import BrokerAway
from eventstore.client.errors import EventStoreError, TransientError
from eventstore.client.events import DEFAULT_STREAM
from eventstore.integrity.checkpoint_file import CheckpointFile
from eventstore.integrity.signing import KeyUnusable, Signer
from eventstore.management import arguments
from eventstore.meter import Meter
from eventstore.store import SqlEventStore
from orders_site.log_recovery import CannotRecover, LogRecovery, Seen, refuse_if_served

NEXT = "Now start everything. When it has caught up, run verify_log, verify_queries and reconcile."


class Command(BaseCommand):
    help = (
        "For an event store database that was restored to an older point while NATS and the "
        "contexts are ahead of it. What NATS still has of the lost end is put back, and nothing "
        "else changes. What it does not have is given up: the log goes on under a new id, rows "
        "that show more than it has are reset, subscriptions go back, the stream is filled anew. "
        "Stop everything but the databases and NATS first. May be interrupted and run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--stream", type=arguments.stream, default=DEFAULT_STREAM)
        parser.add_argument("--yes", action="store_true", help="ask nothing")
        parser.add_argument(
            "--discard", action="store_true", help="put nothing back, also if NATS has it"
        )
        parser.add_argument(
            "--rows",
            action="store_true",
            help="look through all rows also when log, stream and subscriptions agree",
        )
        parser.add_argument(
            "--reports",
            type=arguments.path,
            default=Path(settings.DATA_DIR) / "recovery",
            help="the folder for lists of lost events and of rows that were reset",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._recover(options)
        except (CannotRecover, NotRestorable, KeyUnusable, LogMoved) as problem:
            raise CommandError(str(problem)) from None
        except BrokerAway as error:
            raise CommandError(f"NATS is away: {error}") from error
        except (EventStoreError, TransientError, DatabaseError) as error:
            text = str(error).strip().partition("\n")[0]
            raise CommandError(f"a database is away or refuses: {text}; run it again") from error
        except OSError as error:
            raise CommandError(f"a file can't be read or written: {error}") from error
        except KeyboardInterrupt:
            raise CommandError(
                "stopped; run it again, it goes on", returncode=arguments.INTERRUPTED
            ) from None

    def _recover(self, options: dict[str, Any]) -> None:
        stream, store = options["stream"], SqlEventStore()
        refuse_if_served(stream)
        signer = _signer(store, stream)
        with stream_copy(settings.NATS_PUBLISHER_URL, stream) as copy:
            run = LogRecovery(store, stream, copy, options["reports"], self.stdout.write)
            seen = run.look()
            restored = not options["discard"] and self._restore(run, seen, signer, options)
            if restored:
                seen = run.look()
            self._settle(run, seen, signer, options, rows=restored or options["rows"])
        self.stdout.write(NEXT)

    def _restore(
        self, run: LogRecovery, seen: Seen, signer: Signer | None, options: dict[str, Any]
    ) -> bool:
        """Put back what NATS has, if it has anything."""
        upto, head = run.restorable(seen, signer), seen.head
        if upto == head.position:
            return False
        self._confirm(
            f"The log ends at {head.position}; NATS has the events up to {upto}, whole. "
            f"Put them back?",
            options,
        )
        meter = Meter(sys.stderr, upto)
        head = run.restore(seen, meter.show)
        meter.clear()
        self.stdout.write(f"the log is back up to {head.position}")
        return True

    def _settle(
        self,
        run: LogRecovery,
        seen: Seen,
        signer: Signer | None,
        options: dict[str, Any],
        *,
        rows: bool,
    ) -> None:
        """Bring everybody to what the log has now."""
        situation, head = seen.situation, seen.head
        match situation:
            case Foreign(reason):
                raise CannotRecover(reason)
            case Nothing():
                if not rows:
                    raise CannotRecover(
                        f"there is nothing to recover: nobody has seen more than the log, which "
                        f"is at {head.position}"
                    )
                run.reset_contexts(frozenset({head.log_id}), head.position, None)
            case Ahead(before, kept) | Unfinished(before, kept):
                lost, path = run.report_lost(seen, kept)
                self._tell(seen, kept, lost.events, path)
                self._confirm("Go on?", options)
                head = run.go_on(seen, signer)
                run.reset_contexts(before, kept, lost.oldest)
                run.drop_stream(seen, head)
            case _:
                assert_never(situation)

    def _tell(self, seen: Seen, kept: int, lost: int, path: Path) -> None:
        if isinstance(seen.situation, Unfinished):
            self.stdout.write("an earlier run was interrupted; this one goes on")
        self.stdout.write(
            f"The log is what others have seen up to position {kept}; it ends at "
            f"{seen.head.position}. {lost:,} events that NATS has are lost"
            + (f", listed in {path}." if lost else ".")
        )
        self.stdout.write(
            "The log gets a new id. Rows that show more than the log has are reset, subscriptions "
            "go back to before the orders concerned, the NATS stream is deleted and filled anew."
        )

    def _confirm(self, question: str, options: dict[str, Any]) -> None:
        if options["yes"]:
            return
        try:
            answer = input(f"{question} [y/N] ")
        except EOFError:
            raise CommandError(
                "nobody answers; --yes asks nothing", returncode=arguments.USAGE
            ) from None
        if answer.strip().lower() not in ("y", "yes"):
            raise CannotRecover("nothing more was done")


def _signer(store: SqlEventStore, stream: str) -> Signer | None:
    """Who signs that the log goes on; nobody where no checkpoint was ever signed."""
    if not CheckpointFile(Path(settings.CHECKPOINT_DIR), stream, {}).path.exists():
        return None
    return Signer.from_settings(store)
