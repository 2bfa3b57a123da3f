"""How long after its commit an event reaches a subscriber, and the query model."""

import contextlib
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import psycopg

from benchmarks import figures, streams
from benchmarks.callers import paced
from benchmarks.figures import Report, Row, Spread, Table, Target
from benchmarks.options import Options
from benchmarks.rivals import Call
from benchmarks.sample_events import created, quick_uuid
from benchmarks.stack import Stack, environment, eventually, grpc_process, process
from eventstore.client.remote import RemoteEventStore
from orders_site.embedded.ports import free_port

CALLERS = 64
# Who watches, at how many events a second, and what the 99th percentile is to be, in ms.
PLANS = (("listener", "delivered", 1_000, 15.0), ("projector", "in the query model", 2_000, 30.0))
# What is not measured: processes that have only just started.
WARM_UP = 0.2


def run(stack: Stack, options: Options, report: Report) -> None:
    """Add to the report what the clocks of the processes say, which are one and the same clock."""
    for watcher, what, per_second, wanted in PLANS:
        lags: list[list[float]] = []
        rates: list[float] = []
        for number in range(1, options.rounds + 1):
            log = stack.fresh_log(f"lag_{watcher}_{number}")
            taken, rate = _round(stack, log, watcher, per_second, options.seconds)
            p50, p99 = figures.percentiles_ms(taken)
            assert p50 is not None, "nothing was seen"
            figures.say(f"  {what}: p50 {p50:.1f} ms, p99 {p99:.1f} ms at {rate:,.0f}/s")
            lags.append(taken)
            rates.append(rate)
        _add(report, what, per_second, wanted, lags, rates)


def _add(
    report: Report,
    what: str,
    per_second: int,
    wanted: float,
    lags: list[list[float]],
    rates: list[float],
) -> None:
    p99s = [figures.percentiles_ms(taken)[1] or 0.0 for taken in lags]
    everything = [lag for taken in lags for lag in taken]
    row = Row(
        f"appended, wanted {per_second:,}/s",
        Spread.of(rates),
        "/s",
        *figures.percentiles_ms(everything),
    )
    report.tables.append(Table(f"from the commit until {what}", [row]))
    report.targets.append(
        Target(
            f"commit until {what}, p99 at {per_second:,}/s",
            wanted,
            Spread.of(p99s),
            "ms",
            at_least=False,
        )
    )


def _round(
    stack: Stack, log: str, watcher: str, per_second: int, seconds: float
) -> tuple[list[float], float]:
    """The lags of one round's events in seconds, and how many a second were appended."""
    commits, seen = stack.folder / f"{log}.commits", stack.folder / f"{log}.seen"
    port = free_port()
    variables = {
        "ORDERS_EVENTSTORE_DATABASE_URL": stack.url(log),
        "ORDERS_EVENTSTORE_ADDRESS": f"127.0.0.1:{port}",
        "DJANGO_SETTINGS_MODULE": "orders_site.settings",
    }
    _forget(stack)
    with environment(**variables), contextlib.ExitStack() as open_:
        serve = ["-m", "benchmarks.witness", "server", str(commits), str(port)]
        open_.enter_context(grpc_process(stack, "witness-server", serve, port))
        watch = ["-m", "benchmarks.witness", watcher, str(seen)]
        open_.enter_context(process(watch, Path(f"{seen}.ready").exists, stack.folder / "seen.log"))
        store = RemoteEventStore(f"127.0.0.1:{port}", 30)
        open_.callback(store.close)
        began = time.monotonic_ns()
        sample = paced(CALLERS, seconds * (1 + WARM_UP), per_second, lambda: _appending(store))
        last = store.head().position
        eventually(lambda: _last(Path(f"{seen}.last")) >= last, "the last event is seen")
    return _lags(commits, seen, began + int(seconds * WARM_UP * 1e9)), sample.rate


@contextlib.contextmanager
def _appending(store: RemoteEventStore) -> Iterator[Call]:
    yield lambda: store.append([created(str(quick_uuid()))], 0)


def _forget(stack: Stack) -> None:
    """Drop the stream, the query model and its checkpoint, which are of another log."""
    from benchmarks.project import empty_query_model

    streams.drop_all(stack.nats_url)
    empty_query_model()
    with psycopg.connect(stack.url("queries"), autocommit=True) as connection:
        connection.execute("DELETE FROM queries_checkpoint")


def _last(path: Path) -> int:
    try:
        return int(path.read_text() or 0)
    except FileNotFoundError:
        return 0


def _lags(commits: Path, seen: Path, since: int) -> list[float]:
    committed = dict(_pairs(commits))
    return [
        (moment - committed[position]) / 1e9
        for position, moment in _pairs(seen)
        if committed.get(position, 0) > since
    ]


def _pairs(path: Path) -> Iterator[tuple[int, int]]:
    """(position, nanoseconds) as a witness wrote them down."""
    numbers = array("q", path.read_bytes())
    return zip(numbers[::2], numbers[1::2], strict=True)
