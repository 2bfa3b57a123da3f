"""`POST /api/orders` until it is answered, beside a plain build of the same endpoint."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

from benchmarks import figures
from benchmarks.callers import Caller, closed_loop
from benchmarks.figures import Case, Report, Table, Target
from benchmarks.options import Options
from benchmarks.placing import placing
from benchmarks.stack import ROOT, environment, eventually, process
from benchmarks.system import System
from orders_site.embedded.ports import free_port
from orders_site.embedded.readiness import grpc_serving

CALLERS = 16
OURS = "this"
PLAIN = "plain build, serializer per request, gRPC call per order"
# The plain build has nobody behind it: who works on our orders would take the cores from one side.
DOWNSTREAM = "subscribe_.*|celery|payments.*"
# As `run_web` starts it.
SERVER = ["-m", "granian", "--interface=wsgi", "--blocking-threads=16", "--backpressure=256"]


def run(system: System, report: Report, options: Options) -> None:
    """Measure both, and let the backlog of ours drain after each of its turns."""
    with _plain_site(system) as (port, token):
        ours = _placing(system.web_port, f"Bearer {system.token}")
        plain = _placing(port, f"Token {token}")

        def case(name: str, caller: Caller) -> Case:
            def timed() -> figures.Sample:
                _drain(system)
                with system.standing_still(DOWNSTREAM):
                    return closed_loop(CALLERS, options.seconds, caller)

            return Case(name, timed)

        samples = figures.interleaved([case(OURS, ours), case(PLAIN, plain)], options.rounds)
        _drain(system)
    title = f"orders accepted, {CALLERS} callers"
    report.tables.append(Table(title, figures.rows(samples, "/s")))
    if measured := figures.ratio(samples, OURS, PLAIN):
        report.targets.append(Target(f"orders accepted, {OURS} : {PLAIN}", 4.0, measured))


def _placing(port: int, token: str) -> Caller:
    @contextlib.contextmanager
    def caller() -> Iterator[Callable[[], object]]:
        with placing(port, token) as place:
            place()
            yield place

    return caller


def _drain(system: System) -> None:
    """Wait until no order is on its way any more."""
    with system.database("queries") as rows, system.database("eventstore") as log:
        of_rows = "SELECT count(*) FROM queries_orderrow WHERE status = 'approved'"
        of_log = "SELECT count(*) FROM eventstore_event WHERE event_type = 'order-created'"
        eventually(
            lambda: rows.execute(of_rows).fetchall() == log.execute(of_log).fetchall(),
            "all orders are approved",
            120,
        )


@contextlib.contextmanager
def _plain_site(system: System) -> Iterator[tuple[int, str]]:
    """The plain site and its plain event store; the site's port, and a token for it."""
    with system.database("postgres") as connection:
        for name in ("plain", "plain_site"):
            connection.execute(f"CREATE DATABASE {name}")
    prepare = [sys.executable, "-m", "benchmarks.plain.prepare"]
    done = subprocess.run(prepare, cwd=ROOT, capture_output=True, text=True, check=True)
    store_port, port = free_port(), free_port()
    store = ["-m", "benchmarks.plain.server", str(store_port)]
    log = system.folder / "plain.log"
    address = f"127.0.0.1:{store_port}"
    site = [*SERVER, "--http=1", "--no-ws", f"--port={port}", "benchmarks.plain.wsgi:application"]
    with (
        environment(PLAIN_ADDRESS=address),
        process(store, grpc_serving(address), log),
        process(site, lambda: _answers(port), log),
    ):
        yield port, done.stdout.strip()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
