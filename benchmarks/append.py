"""Appends per second of one event each to new aggregates, at several numbers of callers."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from importlib.util import find_spec

import grpc

from benchmarks import figures, rivals
from benchmarks.callers import Caller, closed_loop
from benchmarks.figures import Case, Report, Sample, Samples, Table, Target
from benchmarks.options import Options
from benchmarks.pgbench import Pgbench
from benchmarks.sample_events import created, quick_uuid
from benchmarks.stack import Stack, event_store_process, grpc_process
from eventstore.client import EventStore
from eventstore.client.remote import RemoteEventStore
from eventstore.proto.eventstore_pb2_grpc import EventStoreStub
from eventstore.store import SqlEventStore
from orders_site.embedded.ports import free_port

GRPC = "this, through gRPC"
WIRE = "gRPC alone: this, keeping nothing"
SQL = "this, in process"
PLAIN_GRPC = "plain Django, through gRPC"
PLAIN = "plain Django, in process"
RECORDER = "eventsourcing's recorder"
FUNCTIONS = "eventsourcing's recorder, enable_db_functions"
DJANGO_RECORDER = "eventsourcing-django's recorder"
INSERT = "pgbench, an INSERT per commit"
OUTBOX = "pgbench, event and outbox row per commit"
ROWS = "pgbench, 100 rows per commit"
PSYCOPG = "psycopg, an INSERT per commit"
PSYCOPG_OUTBOX = "psycopg, event and outbox row per commit"

Opened = Callable[[], AbstractContextManager[Caller]]

# case, rival, at least so many times as fast, at these numbers of callers.
TARGETS = (
    (GRPC, PLAIN_GRPC, 15.0, (32,)),
    (GRPC, RECORDER, 10.0, (32,)),
    (GRPC, FUNCTIONS, 5.0, (32,)),
    (GRPC, OUTBOX, 1.5, (32,)),
    (GRPC, ROWS, 0.35, (128,)),
    (SQL, ROWS, 0.8, (128,)),
    (SQL, PSYCOPG_OUTBOX, 1.0, (1,)),
)


def run(stack: Stack, options: Options) -> Report:
    """Measure every case at every number of callers."""
    report = Report("append")
    report.notes.append(
        "pgbench's 100 rows per commit: the best of 1, 2 and 4 clients, whatever the column says"
    )
    with _everybody(stack) as (callers_of, pgbench):
        if RECORDER not in callers_of:
            report.notes.append("eventsourcing is not installed (requirements-bench.txt)")
        for callers in options.callers:
            figures.say(f"append, {callers} callers")
            cases = _cases(stack, callers_of, pgbench, callers, options)
            samples = figures.interleaved(cases, options.rounds)
            title = f"appends, {callers} caller{'s' * (callers > 1)}"
            report.tables.append(Table(title, figures.rows(samples, "/s")))
            report.targets += _targets(samples, callers)
    return report


@contextlib.contextmanager
def _everybody(stack: Stack) -> Iterator[tuple[dict[str, Opened], Pgbench]]:
    """All that can append, by name; each is opened for its own turns only."""
    plain_port, wire_port = free_port(), free_port()
    plain_server = ["-m", "benchmarks.plain.server", str(plain_port)]
    wire_server = ["-m", "benchmarks.wire_alone", str(wire_port)]
    log = stack.fresh_log("appended")
    pgbench = Pgbench(stack, log)
    with contextlib.ExitStack() as open_:
        address = open_.enter_context(event_store_process(stack, log))
        open_.enter_context(grpc_process(stack, "plain", plain_server, plain_port))
        open_.enter_context(grpc_process(stack, "wire", wire_server, wire_port))
        channel = open_.enter_context(grpc.insecure_channel(f"127.0.0.1:{plain_port}"))
        remote, wire = (RemoteEventStore(at, 30) for at in (address, f"127.0.0.1:{wire_port}"))
        open_.callback(remote.close)
        open_.callback(wire.close)
        simple: dict[str, Caller | None] = {
            GRPC: _appending(remote),
            WIRE: _appending(wire),
            PLAIN_GRPC: rivals.plain_grpc(EventStoreStub(channel)),
            SQL: _appending(SqlEventStore(log)),
            PLAIN: rivals.plain_django(),
            DJANGO_RECORDER: rivals.eventsourcing_django(),
            PSYCOPG: rivals.psycopg_alone(stack.url(log), outbox=False),
            PSYCOPG_OUTBOX: rivals.psycopg_alone(stack.url(log), outbox=True),
        }
        opened = {name: _as_it_is(caller) for name, caller in simple.items() if caller}
        if find_spec("eventsourcing"):
            opened[RECORDER] = partial(rivals.eventsourcing, stack, "locked", functions=False)
            opened[FUNCTIONS] = partial(rivals.eventsourcing, stack, "functions", functions=True)
        yield opened, pgbench


def _as_it_is(caller: Caller) -> Opened:
    return lambda: contextlib.nullcontext(caller)


def _appending(store: EventStore) -> Caller:
    @contextlib.contextmanager
    def caller() -> Iterator[rivals.Call]:
        store.head()  # connects this thread, where each has a connection of its own
        yield lambda: store.append([created(str(quick_uuid()))], 0)
        if isinstance(store, SqlEventStore):
            store.database.close_own()

    return caller


def _cases(
    stack: Stack,
    callers_of: dict[str, Opened],
    pgbench: Pgbench,
    callers: int,
    options: Options,
) -> Sequence[Case]:
    def settled(opened: Opened) -> Sample:
        stack.settle()
        with opened() as caller:
            return closed_loop(callers, options.seconds, caller)

    def most_rows() -> Sample:
        tries = [pgbench.many_rows(clients, options.seconds) for clients in (1, 2, 4)]
        return max(tries, key=lambda sample: sample.rate)

    alone = (PSYCOPG, PSYCOPG_OUTBOX)
    return [
        *(
            Case(name, partial(settled, opened))
            for name, opened in callers_of.items()
            if callers == 1 or name not in alone
        ),
        Case(INSERT, lambda: pgbench.one_insert(callers, options.seconds)),
        Case(OUTBOX, lambda: pgbench.event_and_outbox(callers, options.seconds)),
        Case(ROWS, most_rows),
    ]


def _targets(samples: Samples, callers: int) -> list[Target]:
    found = []
    for case, rival, wanted, at in TARGETS:
        measured = figures.ratio(samples, case, rival)
        if callers in at and measured is not None:
            what = f"appends, {case} : {rival}, {callers} caller{'s' * (callers > 1)}"
            found.append(Target(what, wanted, measured))
    return found
