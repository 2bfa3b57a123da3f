"""Applying events to the query model, and rebuilding it, beside the ORM one event at a time."""

import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from uuid import UUID

import psutil
from django.db import connections, transaction

from benchmarks import figures, row_by_row
from benchmarks.figures import Case, Report, Sample, Samples, Table, Target
from benchmarks.filling import fill
from benchmarks.options import Options
from benchmarks.stack import Stack
from eventstore.client import Event
from eventstore.store import SqlEventStore
from queries.models import CustomerSummary, OrderItemRow, OrderRow, RestaurantSummary
from queries.projector import OrderProjector
from queries.rebuilding import Rebuild

FETCHES = (32, 200, 500)
BULK = "this, {} events a fetch"
ORM = "Django ORM, one event at a time"
READING = "reading the log alone"
FROM_NOTHING = "rebuild, no rows there"
ANEW = "rebuild, all rows there"
MIB = 1024 * 1024


def run(stack: Stack, options: Options) -> Report:
    """Apply a fifth of `options.log` events in several ways, and rebuild from all of them."""
    log = stack.fresh_log("projected")
    store = SqlEventStore(log)
    events = options.log // 5
    fill(stack.url(log), events)
    history = list(store.read_stream())
    report = Report("project")
    figures.say(f"project, {events:,} events")
    samples = figures.interleaved(_applying(store, history, options), options.rounds)
    report.tables.append(Table("events applied", figures.rows(samples, "/s")))
    measured = figures.ratio(samples, BULK.format(FETCHES[1]), ORM)
    if measured:
        report.targets.append(
            Target(f"applying, {BULK.format(FETCHES[1])} : {ORM}", 20.0, measured)
        )
    # A short log would tell of what a rebuild does once, such as connecting.
    fill(stack.url(log), options.log - events)
    _rebuilding(report, store, options)
    return report


def _applying(store: SqlEventStore, history: Sequence[Event], options: Options) -> list[Case]:
    projector, log_id = OrderProjector(store), store.head().log_id

    def bulk(fetch: int) -> Sample:
        empty_query_model()
        began = time.monotonic()
        for start in range(0, len(history), fetch):
            with transaction.atomic(using="queries"):
                projector.apply(by_aggregate(history[start : start + fetch]))
        return Sample(len(history), time.monotonic() - began)

    def orm() -> Sample:
        return _one_by_one(history, log_id, options.seconds)

    cases = [Case(BULK.format(fetch), partial(bulk, fetch)) for fetch in FETCHES]
    return [*cases, Case(ORM, orm)]


def _one_by_one(history: Sequence[Event], log_id: UUID, seconds: float) -> Sample:
    """As many as there is time for."""
    empty_query_model()
    began = time.monotonic()
    done = 0
    for event in history:
        row_by_row.apply(event, log_id)
        done += 1
        if time.monotonic() - began > seconds:
            break
    return Sample(done, time.monotonic() - began)


def _rebuilding(report: Report, store: SqlEventStore, options: Options) -> None:
    """Rebuild the query model from the whole log of this run."""
    total = store.head().position
    own = psutil.Process()
    before = own.memory_info().rss / MIB
    figures.say(f"rebuild, {total:,} events")
    samples = figures.interleaved(
        [
            Case(READING, lambda: _reading(store, total)),
            Case(FROM_NOTHING, lambda: _rebuild(store, total, empty=True)),
            Case(ANEW, lambda: _rebuild(store, total, empty=False)),
        ],
        options.rounds,
    )
    report.tables.append(Table("events read or rebuilt from", figures.rows(samples, "/s")))
    report.targets += _rebuild_targets(samples)
    report.notes.append(
        f"memory of the rebuilding process (RSS): {before:.0f} MiB before and "
        f"{own.memory_info().rss / MIB:.0f} MiB after rebuilding from {total:,} events"
    )


def _rebuild_targets(samples: Samples) -> list[Target]:
    return [
        Target(f"{case} : {READING}", 0.25, measured)
        for case in (FROM_NOTHING, ANEW)
        if (measured := figures.ratio(samples, case, READING))
    ]


def _reading(store: SqlEventStore, total: int) -> Sample:
    began = time.monotonic()
    done = sum(1 for _ in store.read_stream(limit=total))
    return Sample(done, time.monotonic() - began)


def _rebuild(store: SqlEventStore, total: int, *, empty: bool) -> Sample:
    if empty:
        empty_query_model()
    began = time.monotonic()
    Rebuild(store, lambda line: None).run()
    return Sample(total, time.monotonic() - began)


def empty_query_model() -> None:
    """Remove every row of the query model."""
    models = (OrderRow, OrderItemRow, CustomerSummary, RestaurantSummary)
    tables = ", ".join(model._meta.db_table for model in models)
    with connections["queries"].cursor() as cursor:
        cursor.execute(f"TRUNCATE {tables}")


def by_aggregate(events: Sequence[Event]) -> dict[str, list[Event]]:
    """The events of a fetch as a projector takes them."""
    grouped: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        grouped[event.aggregate_id].append(event)
    return grouped
