"""Each benchmark runs, in a tiny size, and writes what it found; what it found is not looked at."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from benchmarks.options import NAMES, parse

ROOT = Path(__file__).resolve().parents[2]
# What runs together, on the same servers.
RUNS = (("append", "publish", "read", "project", "grow"), ("orders", "memory"))
TITLES = {
    "append": "appends, 4 callers",
    "publish": "events published",
    "read": "events read",
    "project": "events applied",
    "grow": "orders read by id",
    "orders": "CPU for a whole order",
    "memory": "memory (PSS), 20 orders",
}
Found = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Callable[[tuple[str, ...]], Found]:
    """What a run of these benchmarks printed and wrote; each runs once."""

    @cache
    def run(names: tuple[str, ...]) -> Found:
        file = tmp_path_factory.mktemp("benchmarks") / "found.json"
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", *names, "--short", "--json", str(file)],
            cwd=ROOT,
            env={key: text for key, text in os.environ.items() if not key.startswith("DJANGO_")},
            capture_output=True,
            text=True,
            check=False,
            timeout=170,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout, json.loads(file.read_text())

    return run


def test_every_benchmark_is_tried_here() -> None:
    assert set(TITLES) == {name for names in RUNS for name in names} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_prints_tables_and_writes_them(name: str, found) -> None:
    printed, written = found(next(names for names in RUNS if name in names))
    report = next(report for report in written["reports"] if report["name"] == name)
    tables = {table["title"]: table["rows"] for table in report["tables"]}
    assert all(row["value"]["median"] > 0 for row in tables[TITLES[name]])
    assert f"| {TITLES[name]} |" in printed
    assert report["targets"], "nothing was aimed at"


@pytest.mark.parametrize("names", RUNS, ids="-".join)
def test_a_run_says_what_it_was_measured_on(names: tuple[str, ...], found) -> None:
    printed, written = found(names)
    assert written["machine"]["cores"] >= 1
    assert written["machine"]["postgres"].startswith("PostgreSQL ")
    assert f"python -m benchmarks {' '.join(names)}" in written["machine"]["command"]
    assert written["machine"]["command"] in printed


def test_a_run_has_an_end_and_a_place_for_its_results() -> None:
    options = parse(["append", "publish"])
    assert options.callers == (1, 8, 32, 128)
    assert options.json == Path("benchmarks/results/append-publish.json")
    for wrong in (["--rounds", "0"], ["--seconds", "-1"], ["--callers", "0"], ["--events", "x"]):
        with pytest.raises(SystemExit):
            parse(["append", *wrong])
