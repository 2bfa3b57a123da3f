"""PostgreSQL's disk is full: first no row fits, then no log, and it dies; then there is room."""

import shutil
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from secrets import token_hex

import httpx
import psycopg
import pytest

from eventstore.client import Overloaded, Unavailable, to_json
from eventstore.client.remote import RemoteEventStore
from orders_site.embedded.postgres import EmbeddedPostgres
from orders_site.embedded.postgres import url as database_url
from tests.chaos.customers import Request
from tests.chaos.disk import Disk, disk_at
from tests.chaos.judging import judge, wait_until_quiet
from tests.chaos.plan import Plan
from tests.chaos.weighing import check_weights, weigh
from tests.contract.new_events import new_event
from tests.e2e.system import System, eventually, order_body
from tests.together import together

pytest_plugins = ["tests.chaos.telling"]
pytestmark = pytest.mark.timeout(3600)

MEGABYTES = 384
# More than the web has threads: some wait for a turn.
CROWD = 48
ANSWER_SECONDS = 20
QUIET_SECONDS = 240


@pytest.fixture
def disk(chaos: Plan) -> Iterator[Disk]:
    if not chaos.is_long:
        pytest.skip("not run: it takes a minute, `make chaos` has it")
    with disk_at(System.new_data_dir() / "postgres", MEGABYTES, chaos) as disk:
        yield disk
    shutil.rmtree(disk.folder.parent, ignore_errors=True)


@pytest.fixture
def system(disk: Disk) -> Iterator[System]:
    """A system whose database is on that disk."""
    system = System(data_dir=disk.folder.parent)
    make_database(disk)
    try:
        system.start()
        yield system
        assert system.stop() == 0
        assert system.processes() == []
    finally:
        for process in system.processes():
            process.kill()
            process.wait()


def make_database(disk: Disk) -> None:
    """Make PostgreSQL's data, which wants to be made beside its place, and put it there."""
    elsewhere = disk.folder.parent / "elsewhere"
    server = EmbeddedPostgres(elsewhere)
    server.start()
    server.stop()
    for command in (
        ["rmdir", str(disk.folder / "lost+found")],
        ["cp", "--archive", f"{server.pgdata}/.", str(disk.folder)],
    ):
        subprocess.run(command, check=True, timeout=60)
    shutil.rmtree(elsewhere)


@dataclass
class Clients:
    """Clients of the API who ask once and take what they are told."""

    system: System
    requests: list[Request] = field(default_factory=list)
    slowest: float = 0.0

    def order(self) -> httpx.Response:
        """The answer to a new order."""
        request = Request(str(uuid.uuid4()), order_body())
        self.requests.append(request)
        return self.again(request)

    def again(self, request: Request) -> httpx.Response:
        """The answer to that request."""
        began = time.monotonic()
        headers = {"Idempotency-Key": request.key}
        with self.system.api() as api:
            reply = api.post("/orders", json=request.body, headers=headers)
        self.slowest = max(self.slowest, time.monotonic() - began)
        if reply.status_code == 201:
            request.answers.append((201, reply.json()))
        return reply

    def ordered(self, count: int) -> list[str]:
        """Have so many orders accepted; their ids."""
        return [str(self.order().json()["order_id"]) for _ in range(count)]

    def refused(self) -> httpx.Response:
        """Order until that is refused."""
        return eventually(lambda: _unless_accepted(self.order()), "an order is refused")

    def crowd(self) -> Counter[int]:
        """How many of a crowd were answered what."""
        replies = together([self.order] * CROWD, timeout=4 * ANSWER_SECONDS)
        for reply in replies:
            assert reply.status_code == 201 or is_polite(reply), reply.text
        return Counter(reply.status_code for reply in replies)


def _unless_accepted(reply: httpx.Response) -> httpx.Response | None:
    return None if reply.status_code == 201 else reply


def is_polite(reply: httpx.Response) -> bool:
    """It says in a form for programs that the client is to come again, and when."""
    return (
        reply.status_code in (429, 503)
        and int(reply.headers["Retry-After"]) > 0
        and reply.headers["Content-Type"].startswith("application/problem+json")
    )


def append_what_needs_room(system: System) -> None:
    """An append through gRPC of an event that is larger than what may be left."""
    address = f"127.0.0.1:{system.ports['EVENTSTORE']}"
    with closing(RemoteEventStore(address)) as store:
        store.append([new_event(data=to_json({"noise": token_hex(100_000)}))])


def write_log_until_it_does_not_fit(system: System) -> None:
    """PostgreSQL begins one file of its log after another, and ends when there is no room."""
    url = database_url(system.data_dir, "postgres")
    with pytest.raises(psycopg.OperationalError):
        with psycopg.connect(url, autocommit=True) as session:
            for _ in range(1000):
                session.execute("SELECT pg_logical_emit_message(true, 'filling', 'the log')")
                session.execute("SELECT pg_switch_wal()")


def test_a_full_disk_is_said_politely_and_all_goes_on_when_there_is_room(
    system: System, disk: Disk, chaos: Plan
) -> None:
    clients = Clients(system)
    placed = clients.ordered(10)
    for order_id in placed:
        system.reaches(order_id, "approved", "debited")
    # Every pool and connection that a crowd needs is open from then on.
    assert set(clients.crowd()) == {201}
    wait_until_quiet(system, QUIET_SECONDS)
    base = weigh(system)

    disk.fill(leaving=0)
    refusal = clients.refused()
    assert is_polite(refusal), refusal.text
    assert [system.order(order_id)["status"] for order_id in placed] == ["approved"] * 10
    without_rows = clients.crowd()
    with pytest.raises((Unavailable, Overloaded)):
        append_what_needs_room(system)

    postgres = system.pid("postgres")
    write_log_until_it_does_not_fit(system)
    without_log = clients.crowd()
    assert clients.slowest < ANSWER_SECONDS

    disk.empty()
    began = time.monotonic()
    eventually(lambda: clients.order().status_code == 201, "orders are accepted again", 120)
    recovered = time.monotonic() - began
    for request in clients.requests:
        reply = eventually(lambda r=request: _accepted(clients.again(r)), "it is accepted")
        request.answers.append((201, reply.json()))
    wait_until_quiet(system, QUIET_SECONDS)
    log = judge(system, clients.requests)
    check_weights(system, base)
    chaos.tell(
        f"no room for rows: {dict(without_rows)}; none for the log: {dict(without_log)}; "
        f"the slowest answer {clients.slowest:.1f} s; "
        f"accepted {recovered:.1f} s after there was room, "
        f"{'another' if system.pid('postgres') != postgres else 'the same'} server; "
        f"{len(log)} events"
    )


def _accepted(reply: httpx.Response) -> httpx.Response | None:
    return reply if reply.status_code == 201 else None
