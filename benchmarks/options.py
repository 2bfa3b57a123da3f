"""What a run may be told on its command line."""

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path

NAMES = ("append", "publish", "read", "project", "grow", "orders", "memory")


@dataclass(frozen=True)
class Options:
    """How much of everything; each bounded, so that a run ends."""

    names: tuple[str, ...]
    rounds: int
    seconds: float
    callers: tuple[int, ...]
    events: tuple[int, ...]
    refill: int
    log: int
    orders: int
    in_progress: int
    json: Path


def parse(arguments: list[str] | None = None) -> Options:
    """The options of a command line; exits with a message if they are wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    names = tuple(NAMES) if "all" in given.names else tuple(dict.fromkeys(given.names))
    if given.rounds < 1 or not 0 < given.seconds <= 600:
        parser.error("--rounds is 1 or more, --seconds above 0 and at most 600")
    return _options(names, given)


def _options(names: tuple[str, ...], given: Namespace) -> Options:
    short = given.short
    return Options(
        names=names,
        rounds=1 if short else given.rounds,
        seconds=0.3 if short else given.seconds,
        callers=given.callers or ((1, 4) if short else (1, 8, 32, 128)),
        events=given.events or ((1_000, 3_000) if short else (10_000, 1_000_000)),
        refill=1_000 if short else 30_000,
        log=1_500 if short else 60_000,
        orders=20 if short else given.orders,
        in_progress=5 if short else given.in_progress,
        json=given.json or Path("benchmarks", "results", f"{'-'.join(names)}.json"),
    )


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m benchmarks",
        description="Measures side by side, in interleaved rounds, on servers of its own. "
        "Prints Markdown to standard output; how far it is goes to standard error.",
    )
    parser.add_argument("names", nargs="+", choices=[*NAMES, "all"], help="what to measure")
    parser.add_argument("--rounds", type=int, default=3, help="of each case (default 3)")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="of a case in a round (default 3)"
    )
    parser.add_argument("--short", action="store_true", help="tiny; its timings mean nothing")
    parser.add_argument("--callers", type=_numbers, help="append: such as 1,8,32,128")
    parser.add_argument("--events", type=_numbers, help="grow: such as 10000,1000000,10000000")
    parser.add_argument("--orders", type=int, default=2_000, help="orders: in a round")
    parser.add_argument(
        "--in-progress", type=int, default=100, help="orders: placed and not yet approved at once"
    )
    parser.add_argument("--json", type=Path, help="where to (default benchmarks/results/)")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in text.split(","))
    if not numbers or min(numbers) < 1:
        raise ValueError(text)
    return numbers
