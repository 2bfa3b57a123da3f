"""Verifies the log: its order, its chain of hashes, its head, its signed checkpoints."""

import errno
import json
import sys
import time
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from eventstore.client.errors import EventStoreError, TransientError
from eventstore.integrity.audit import Audit, Report, streams_of
from eventstore.integrity.checkpoint_file import CheckpointFile
from eventstore.integrity.checkpoints import Keys
from eventstore.integrity.signing import KeyUnusable, trusted_keys
from eventstore.integrity.verification import Finding
from eventstore.management import arguments
from eventstore.meter import Meter
from eventstore.transactions import LogDatabase

MOST_SHOWN = 100


class Command(BaseCommand):
    help = (
        "Reads the log from its database and checks that positions and versions have no gaps, that "
        "every hash is that of its event and the one before, that the head is at the end, that no "
        "event comes before its cause, and that the log is what its signed checkpoints say. Safe "
        "while the system runs. Exit code 0: all right, 1: something is wrong, 2: called wrongly."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from",
            dest="first",
            type=arguments.position,
            default=1,
            help="begin at this position; the event before it is taken as right",
        )
        parser.add_argument("--stream", type=arguments.stream, help="only this one; default all")
        parser.add_argument(
            "--json", dest="report", metavar="FILE", help="write a report, - for standard output"
        )
        parser.add_argument(
            "--checkpoints",
            type=arguments.path,
            default=Path(settings.CHECKPOINT_DIR),
            help="the folder of the signed checkpoints",
        )
        parser.add_argument(
            "--public-key",
            type=arguments.path,
            action="append",
            default=[],
            help="trust checkpoints signed with this key too (PEM); may be repeated",
        )
        parser.add_argument(
            "--no-checkpoints", action="store_true", help="look at the database alone"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        self._out = self.stderr if options["report"] == "-" else self.stdout
        try:
            reports = self._verify(options)
        except KeyUnusable as problem:
            raise CommandError(str(problem), returncode=arguments.USAGE) from None
        except (EventStoreError, TransientError) as error:
            raise CommandError(f"the log can't be read: {error}") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EPIPE):
                raise  # our output finds no room, or no reader
            raise CommandError(f"the signed checkpoints can't be read: {error}") from error
        found = sum(report.found for report in reports)
        last = max((report.last for report in reports), default=0)
        # As after a night in which the log lost its end.
        beyond = options["first"] > last + 1
        if options["report"]:
            right = not found and not beyond
            self._write(options["report"], right, reports, time.monotonic() - began)
        if found:
            raise CommandError(_differences(found))
        if beyond:
            raise CommandError(
                f"nothing was checked: the log ends at {last:,}, before --from",
                returncode=arguments.USAGE,
            )
        self._out.write("the log is right")

    def _verify(self, options: dict[str, Any]) -> list[Report]:
        keys = None if options["no_checkpoints"] else trusted_keys(options["public_key"])
        folder, database = options["checkpoints"], LogDatabase("eventstore")
        known = set(streams_of(database))
        if keys is not None:
            known |= {file.stem for file in folder.glob("*.jsonl")}
        wanted = [options["stream"]] if options["stream"] else sorted(known)
        if not set(wanted) <= known:
            raise CommandError(f"there is no stream {wanted[0]}", returncode=arguments.USAGE)
        return [self._verified(database, name, options, folder, keys) for name in wanted]

    def _verified(
        self,
        database: LogDatabase,
        stream: str,
        options: dict[str, Any],
        folder: Path,
        keys: Keys | None,
    ) -> Report:
        audit = Audit(
            database,
            stream,
            first=options["first"],
            checkpoints=None if keys is None else CheckpointFile(folder, stream, keys),
        )
        self._walk(audit)
        report = audit.report
        for note in report.notes[:MOST_SHOWN]:
            self._out.write(f"{stream}: {note}")
        self._out.write(
            f"{stream}: {report.events:,} events checked up to {report.last:,}, "
            f"{report.checkpoints:,} signed checkpoints vouch for those up to "
            f"{report.vouched:,}, {_differences(report.found)}"
        )
        return report

    def _walk(self, audit: Audit) -> None:
        report = audit.report
        meter, reached = Meter(sys.stderr, audit.total), report.first
        try:
            for step in audit.run():
                if isinstance(step, Finding):
                    self._tell(meter, report, step)
                else:
                    reached = step
                    meter.show(report.events)
        except KeyboardInterrupt:
            raise CommandError(
                f"stopped; to go on: verify_log --stream={report.stream} --from={reached}",
                returncode=arguments.INTERRUPTED,
            ) from None
        finally:
            meter.clear()

    def _tell(self, meter: Meter, report: Report, finding: Finding) -> None:
        meter.clear()
        if report.found <= MOST_SHOWN:
            where = f"position {finding.position}: " if finding.position else ""
            self._out.write(f"{report.stream}: {where}{finding.what}")
        elif report.found == MOST_SHOWN + 1:
            self._out.write(f"{report.stream}: and more, which are counted only")

    def _write(self, target: str, right: bool, reports: list[Report], seconds: float) -> None:
        content = {
            "right": right,
            "seconds": round(seconds, 3),
            "streams": [asdict(report) for report in reports],
        }
        text = json.dumps(content, indent=2, default=str, ensure_ascii=False)
        if target == "-":
            self.stdout.write(text)
            return
        try:
            Path(target).write_text(text + "\n")
        except (OSError, ValueError) as error:
            raise CommandError(f"the report can't be written: {error}") from error


def _differences(found: int) -> str:
    return f"{found:,} difference{'' if found == 1 else 's'}"
