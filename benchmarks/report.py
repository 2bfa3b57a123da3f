"""Prints reports as Markdown, and writes them as JSON beside what they were measured on."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.figures import Report, Row, Spread, Table, Target


def markdown(machine: dict[str, Any], reports: Sequence[Report]) -> str:
    """All that a run found, ready to be pasted into a page."""
    lines = [
        f"`{machine['command']}`, {machine['date']}: {machine['cores']} cores, "
        f"Python {machine['python']}, {machine['postgres']}, "
        f"load before and after {machine['load_before']:.1f} and {machine['load_after']:.1f}.",
    ]
    for report in reports:
        lines += ["", f"### {report.name}"]
        for table in report.tables:
            lines += ["", *_table(table)]
        if report.targets:
            lines += ["", *_targets(report.targets)]
        lines += ["", *(f"- {note}" for note in report.notes)] if report.notes else []
    return "\n".join(lines)


def write_json(path: Path, machine: dict[str, Any], reports: Sequence[Report]) -> None:
    """The same in a form for programs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {"machine": machine, "reports": [_plain(report) for report in reports]}
    path.write_text(json.dumps(found, indent=2) + "\n")


def _plain(report: Report) -> dict[str, Any]:
    plain = asdict(report)
    for target, of_report in zip(plain["targets"], report.targets, strict=True):
        target["met"] = of_report.met
    return plain


def _table(table: Table) -> list[str]:
    timed = any(row.p50_ms is not None for row in table.rows)
    head = [table.title, table.middle_title, table.range_title] + (
        ["p50 ms", "p99 ms"] if timed else []
    )
    lines = [_line(head), _line(["---", *["---:"] * (len(head) - 1)])]
    return lines + [_line(_cells(row, timed)) for row in table.rows]


def _cells(row: Row, timed: bool) -> list[str]:
    cells = [row.name, f"{_number(row.value.median)} {row.unit}", _range(row.value)]
    if timed:
        cells += ["" if ms is None else f"{ms:,.1f}" for ms in (row.p50_ms, row.p99_ms)]
    return cells


def _targets(targets: Sequence[Target]) -> list[str]:
    lines = [_line(["target", "wanted", "measured", "min to max", ""]), _line(["---"] * 5)]
    for target in targets:
        wanted = f"{'>=' if target.at_least else '<='} {_number(target.wanted)} {target.unit}"
        measured = f"{_number(target.measured.median)} {target.unit}"
        verdict = "met" if target.met else "**missed**"
        lines.append(_line([target.what, wanted, measured, _range(target.measured), verdict]))
    return lines


def _range(spread: Spread) -> str:
    return f"{_number(spread.low)} to {_number(spread.high)}"


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
