"""What a measurement is: samples taken in interleaved rounds, and the ratios between them."""

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sample:
    """One case in one round: what was done in how many seconds; latencies in seconds, if any."""

    done: float
    seconds: float
    latencies: Sequence[float] = field(default=(), repr=False)

    @property
    def rate(self) -> float:
        return self.done / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Case:
    """Something to measure; `run` prepares and cleans up outside of the time that it reports."""

    name: str
    run: Callable[[], Sample]


@dataclass(frozen=True)
class Spread:
    """The median of all rounds, with the lowest and the highest."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        return Spread(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Row:
    """A line of a table. Latencies are over all rounds together, in milliseconds."""

    name: str
    value: Spread
    unit: str
    p50_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True)
class Target:
    """What was aimed at beside what was measured: a ratio of two cases, or a figure alone."""

    what: str
    wanted: float
    measured: Spread
    unit: str = "x"
    at_least: bool = True

    @property
    def met(self) -> bool:
        measured = self.measured.median
        return measured >= self.wanted if self.at_least else measured <= self.wanted


@dataclass
class Table:
    """The cases that ran side by side, in the same rounds."""

    title: str
    rows: list[Row] = field(default_factory=list)
    middle_title: str = "median"
    range_title: str = "min to max"


@dataclass
class Report:
    """What one benchmark found."""

    name: str
    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Samples = dict[str, list[Sample]]


def interleaved(cases: Sequence[Case], rounds: int) -> Samples:
    """Run every case once in each round, so that what disturbs the machine disturbs them alike."""
    samples: Samples = {case.name: [] for case in cases}
    for number in range(1, rounds + 1):
        for case in cases:
            sample = case.run()
            samples[case.name].append(sample)
            say(f"  round {number} of {rounds}: {case.name}: {sample.rate:,.0f}/s")
    return samples


def rows(samples: Samples, unit: str) -> list[Row]:
    """The rates of all cases."""
    return [_row(name, taken, unit) for name, taken in samples.items()]


def ratio(samples: Samples, name: str, rival: str) -> Spread | None:
    """How many times as fast as its rival a case was in each round; None if one did not run."""
    if not samples.get(name) or not samples.get(rival):
        return None
    pairs = zip(samples[name], samples[rival], strict=True)
    return Spread.of([ours.rate / theirs.rate if theirs.rate else 0.0 for ours, theirs in pairs])


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all values does not exceed; 0 if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def percentiles_ms(latencies: Sequence[float]) -> tuple[float | None, float | None]:
    """p50 and p99 in milliseconds of latencies in seconds; None without any."""
    if not latencies:
        return None, None
    return percentile(latencies, 0.5) * 1000, percentile(latencies, 0.99) * 1000


def say(text: str) -> None:
    """Tell whoever watches how far it is; the results alone go to standard output."""
    print(text, file=sys.stderr, flush=True)


def _row(name: str, taken: Sequence[Sample], unit: str) -> Row:
    latencies = [latency for sample in taken for latency in sample.latencies]
    return Row(name, Spread.of([sample.rate for sample in taken]), unit, *percentiles_ms(latencies))
