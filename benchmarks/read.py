"""Reading the log from its beginning, and what that takes of memory."""

import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import psutil

from benchmarks import figures
from benchmarks.figures import Case, Report, Sample, Table, Target
from benchmarks.filling import fill
from benchmarks.options import Options
from benchmarks.stack import Stack, event_store_process
from eventstore.client import EventStore
from eventstore.client.remote import RemoteEventStore
from eventstore.models import StoredEvent
from eventstore.proto import eventstore_pb2 as pb
from eventstore.store import SqlEventStore

SQL = "this, in process"
GRPC = "this, through gRPC in pages"
STREAM = "this, through gRPC as one stream of messages"
ITERATOR = "Django ORM, all rows through one iterator()"
ROW_BY_ROW = "Django ORM, a get() per event"
MIB = 1024 * 1024


def run(stack: Stack, options: Options) -> Report:
    """Measure on a log of `options.log` events."""
    log = stack.fresh_log("read")
    fill(stack.url(log), options.log)
    sql = SqlEventStore(log)
    with event_store_process(stack, log) as address:
        remote = RemoteEventStore(address, 30)
        figures.say(f"read, {options.log:,} events")
        samples = figures.interleaved(
            [
                Case(SQL, lambda: _read(sql.read_stream(limit=options.log))),
                Case(GRPC, lambda: _read(remote.read_stream(limit=options.log))),
                Case(STREAM, lambda: _read(_messages(remote, options.log))),
                Case(ITERATOR, lambda: _read(_iterated(log, options.log))),
                Case(ROW_BY_ROW, lambda: _read(_row_by_row(log, options.log), options.seconds)),
            ],
            options.rounds,
        )
        report = Report("read", [Table("events read", figures.rows(samples, "/s"))])
        _compare(report, samples)
        report.notes += [_allocated(sql, options.log), _resident(remote, options.log)]
        remote.close()
    return report


def _compare(report: Report, samples: figures.Samples) -> None:
    for case in (SQL, GRPC, STREAM):
        measured = figures.ratio(samples, case, ROW_BY_ROW)
        if measured:
            report.targets.append(Target(f"reading, {case} : {ROW_BY_ROW}", 1.0, measured))


def _read(events: Iterable[object], seconds: float = 600.0) -> Sample:
    """Read them all, or as many as there is time for."""
    began = time.monotonic()
    done = 0
    for _ in events:
        done += 1
        if done % 100 == 0 and time.monotonic() - began > seconds:
            break
    return Sample(done, time.monotonic() - began)


def _messages(remote: RemoteEventStore, limit: int) -> Iterator[object]:
    return remote._stream("ReadStream", pb.ReadStreamRequest(limit=limit))


def _iterated(log: str, limit: int) -> Iterator[object]:
    rows = StoredEvent.objects.using(log).filter(stream="ORDERS", position__lte=limit)
    return rows.order_by("position").iterator(chunk_size=500)


def _row_by_row(log: str, limit: int) -> Iterator[object]:
    for position in range(1, limit + 1):
        yield StoredEvent.objects.using(log).get(stream="ORDERS", position=position)


def _allocated(store: EventStore, events: int) -> str:
    def peak(limit: int) -> float:
        tracemalloc.start()
        _read(store.read_stream(limit=limit))
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest / MIB

    few = max(1, events // 10)
    return (
        f"memory in process (tracemalloc, highest): {peak(few):.1f} MiB while {few:,} events are "
        f"read, {peak(events):.1f} MiB while {events:,} are"
    )


def _resident(store: EventStore, events: int) -> str:
    """How much larger this process is after it read the log over gRPC once more."""
    own = psutil.Process()
    before = own.memory_info().rss / MIB
    highest = _highest(lambda: own.memory_info().rss, store.read_stream(limit=events)) / MIB
    return (
        f"memory of the client (RSS): {before:.0f} MiB before, at most {highest:.0f} MiB while "
        f"{events:,} events are read through gRPC"
    )


def _highest(look: Callable[[], int], events: Iterator[object]) -> int:
    highest = 0
    while any(True for _ in islice(events, 500)):
        highest = max(highest, look())
    return highest
