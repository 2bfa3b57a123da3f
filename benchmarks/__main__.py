"""`python -m benchmarks NAME ...`: measures, prints Markdown, writes JSON."""

import importlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks import machine, report
from benchmarks.figures import Report
from benchmarks.options import Options, parse
from benchmarks.stack import folder_of_its_own, running_stack

TERMINATED = 128 + signal.SIGTERM
# These start the whole system instead of its servers alone.
WHOLE_SYSTEM = ("orders", "memory")


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line names."""
    options = parse(arguments)
    before = machine.load()
    found = Found()
    try:
        _measure(options, found)
    finally:
        # What was measured before something failed is not thrown away.
        described = machine.describe(found.postgres, before)
        print(report.markdown(described, found.reports))
        report.write_json(options.json, described, found.reports)


@dataclass
class Found:
    """What a run has found so far."""

    postgres: str = ""
    reports: list[Report] = field(default_factory=list)


def _measure(options: Options, found: Found) -> None:
    if alone := [name for name in options.names if name not in WHOLE_SYSTEM]:
        with running_stack() as stack:
            found.postgres = stack.postgres_version()
            for name in alone:
                benchmark = importlib.import_module(f"benchmarks.{name}")
                found.reports.append(benchmark.run(stack, options))
    if whole := [name for name in options.names if name in WHOLE_SYSTEM]:
        reports, found.postgres = _whole_system(whole, options)
        found.reports += reports


def _whole_system(names: Sequence[str], options: Options) -> tuple[list[Report], str]:
    with folder_of_its_own() as folder:
        orders = importlib.import_module("benchmarks.orders")
        return orders.run(names, folder, options)


if __name__ == "__main__":
    # As Ctrl-C does: what was started is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    main()
