"""Whether an append or a read costs more the more events are stored."""

import contextlib
import random
from collections.abc import Callable, Iterator
from functools import partial

from benchmarks import figures
from benchmarks.callers import Caller, closed_loop
from benchmarks.figures import Case, Report, Samples, Table, Target
from benchmarks.filling import fill
from benchmarks.options import Options
from benchmarks.sample_events import created, quick_uuid
from benchmarks.stack import Stack
from eventstore.store import SqlEventStore

CALLERS = 32
PAGE = 200
FLAT = 0.8

Work = Callable[[], object]


def run(stack: Stack, options: Options) -> Report:
    """Measure logs of several sizes, each in a database of its own, in the same rounds."""
    report = Report("grow")
    logs = {events: _log(stack, events) for events in options.events}
    for what, callers, work_of in (
        ("appends, 1 caller", 1, _append),
        (f"appends, {CALLERS} callers", CALLERS, _append),
        ("orders read by id", 1, _read_order),
        (f"pages of {PAGE} events read anywhere in the stream", 1, _read_page),
        ("events read by id", 1, _read_event),
    ):
        figures.say(f"grow, {what}")
        cases = [
            Case(
                f"{events:,} events stored",
                partial(_timed, callers, options.seconds, store, work_of(store, ids, events)),
            )
            for events, (store, ids) in logs.items()
        ]
        samples = figures.interleaved(cases, options.rounds)
        report.tables.append(Table(what, figures.rows(samples, "/s")))
        report.targets += _targets(what, samples, options)
    return report


def _log(stack: Stack, events: int) -> tuple[SqlEventStore, list[str]]:
    """A log of so many events in a database of its own, and the ids of some of its orders."""
    log = stack.fresh_log(f"log_{events}")
    return SqlEventStore(log), fill(stack.url(log), events)


def _timed(callers: int, seconds: float, store: SqlEventStore, work: Work) -> figures.Sample:
    return closed_loop(callers, seconds, _caller(store, work))


def _caller(store: SqlEventStore, work: Work) -> Caller:
    @contextlib.contextmanager
    def caller() -> Iterator[Work]:
        store.head()
        work()
        yield work
        store.database.close_own()

    return caller


def _append(store: SqlEventStore, ids: list[str], events: int) -> Work:
    return lambda: store.append([created(str(quick_uuid()))], 0)


def _read_order(store: SqlEventStore, ids: list[str], events: int) -> Work:
    return lambda: store.read_aggregate(random.choice(ids))


def _read_page(store: SqlEventStore, ids: list[str], events: int) -> Work:
    last = max(1, events - PAGE)
    return lambda: list(store.read_stream(random.randint(1, last), limit=PAGE))


def _read_event(store: SqlEventStore, ids: list[str], events: int) -> Work:
    some = [store.read_aggregate(order_id)[0].event_id for order_id in ids[:300]]
    return lambda: store.read_event(random.choice(some))


def _targets(what: str, samples: Samples, options: Options) -> list[Target]:
    smallest, largest = min(options.events), max(options.events)
    measured = figures.ratio(samples, f"{largest:,} events stored", f"{smallest:,} events stored")
    if measured is None or smallest == largest:
        return []
    return [Target(f"{what}, {largest:,} : {smallest:,} events stored", FLAT, measured)]
