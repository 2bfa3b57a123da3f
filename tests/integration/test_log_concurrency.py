"""Many writers at once, through two server processes on one log: order, conflicts, idempotence."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any

import pytest
from django.db import connections

from eventstore.client import (
    Append,
    Appended,
    Event,
    EventIdConflict,
    EventStoreError,
    NewEvent,
    Overloaded,
    VersionConflict,
)
from eventstore.client.execute import execute
from eventstore.client.remote import RemoteEventStore
from eventstore.store import SqlEventStore
from orders_site.embedded.ports import free_port
from tests.chaos.plan import Plan
from tests.contract.new_events import new_event, new_events
from tests.e2e.invariants import check_log
from tests.integration.test_event_store_process import SERVING, ServerProcess, database_url
from tests.together import eventually, together

pytest_plugins = ["tests.chaos.telling"]
pytestmark = pytest.mark.django_db(databases=["eventstore"], transaction=True)

WRITERS = 16


@pytest.fixture(scope="module")
def servers(postgres, django_db_setup, tmp_path_factory) -> Iterator[list[ServerProcess]]:
    """Two server processes on one database, for all tests here."""
    folder = tmp_path_factory.mktemp("servers")
    url = database_url(postgres)
    running = [
        ServerProcess(folder / f"{number}.log", free_port(), url, "--no-publisher")
        for number in (1, 2)
    ]
    try:
        yield running
        assert [server.end() for server in running] == [0, 0]
        assert not [server for server in running if "Traceback" in server.log.read_text()]
    finally:
        for server in running:
            server.process.kill()
            server.process.wait()


@pytest.fixture
def clients(servers: list[ServerProcess]) -> Iterator[list[RemoteEventStore]]:
    """A client of each server."""
    SqlEventStore().create_stream("ORDERS")
    for server in servers:
        server.wait_until(SERVING)
    with ExitStack() as stack:
        yield [
            stack.enter_context(closing(RemoteEventStore(server.address, timeout_seconds=30)))
            for server in servers
        ]


def patiently(call: Callable[[], Any]) -> Any:
    """What a caller does whom the server has no room for: the same call again."""

    def attempt() -> list[Any]:
        try:
            return [call()]
        except Overloaded:
            return []

    return eventually(attempt, timeout=60)[0]


class TailReader:
    """Follows the log in a thread of its own, by asking for what comes after the last position."""

    def __init__(self, store: Any, first: int = 1) -> None:
        self.seen: list[Event] = []
        self._store, self._first = store, first
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._look()
        finally:
            connections.close_all()

    def _look(self) -> None:
        last = self.seen[-1].position if self.seen else self._first - 1
        self.seen += self._store.read_stream(last + 1)

    def stop(self, last: int) -> list[Event]:
        """What it saw, once it has seen `last`."""
        try:
            eventually(lambda: self.seen and self.seen[-1].position >= last, timeout=30)
        finally:
            self._stopping.set()
            self._thread.join(30)
        return self.seen


def test_readers_of_the_tail_miss_nothing_that_many_writers_append(clients, chaos: Plan) -> None:
    """I7: who saw a position never sees a new event below it later."""
    count = chaos.rounds(40, per_round=40)
    readers = [TailReader(store) for store in (SqlEventStore(), *clients)]

    def write(number: int) -> list[Appended]:
        dice = Random(f"{chaos.dice.random()} {number}")
        answers = []
        for _ in range(count):
            aggregate = dice.choice(["shared", f"own-{number}", f"other-{dice.randrange(50)}"])
            events = new_events(dice.choice([1, 1, 1, 2, 5]), aggregate)
            answers.append(patiently(partial(clients[number % 2].append, events)))
        return answers

    answers = together([partial(write, number) for number in range(WRITERS)], timeout=120)

    log = list(SqlEventStore().read_stream())
    seen = [[event.event_id for event in reader.stop(len(log))] for reader in readers]
    ids = [event.event_id for event in log]
    missed = sum(len(set(ids) - set(of_one)) for of_one in seen)
    assert missed == 0, f"{missed} of {len(readers) * len(ids)} events missed"
    assert all(of_one == ids for of_one in seen)
    told = [position for of_one in answers for answer in of_one for position in answer.positions]
    assert sorted(told) == list(range(1, len(log) + 1))
    check_log(log)
    chaos.tell(
        f"{WRITERS} writers, {len(readers)} readers, {missed} of {len(ids)} events missed by any"
    )


@dataclass
class Counting:
    """A store that keeps account of its version conflicts: (expected, actual)."""

    behind: RemoteEventStore
    conflicts: list[tuple[int, int]] = field(default_factory=list)

    def read_aggregate(self, aggregate_id: str) -> list[Event]:
        return self.behind.read_aggregate(aggregate_id)

    def append(self, events: Sequence[NewEvent], expected_version: int | None) -> Appended:
        try:
            return patiently(partial(self.behind.append, events, expected_version))
        except VersionConflict as conflict:
            self.conflicts.append((expected_version or 0, conflict.actual_version or 0))
            raise


def only(event: NewEvent, history: Sequence[Event]) -> list[NewEvent]:
    """The decision for this event, whatever happened before."""
    return [event]


def test_of_decisions_at_the_same_version_one_wins(clients, chaos: Plan) -> None:
    decisions = chaos.rounds(4, per_round=4)
    stores = [Counting(clients[number % 2]) for number in range(WRITERS)]

    def decide(store: Counting) -> list[tuple[int, str]]:
        made: list[tuple[int, str]] = []
        while len(made) < decisions:
            event = new_event("contested")
            try:
                done = execute(store, "contested", partial(only, event))  # type: ignore[arg-type]
            except VersionConflict:
                continue
            assert done.version == len(done.history) + 1
            made.append((done.version, str(event.event_id)))
        return made

    made = [each for of_one in together([partial(decide, s) for s in stores]) for each in of_one]

    log = list(SqlEventStore().read_stream())
    check_log(log)
    assert sorted(made) == [(event.version, str(event.event_id)) for event in log]
    assert len(log) == WRITERS * decisions
    conflicts = [conflict for store in stores for conflict in store.conflicts]
    assert conflicts
    assert all(expected < actual for expected, actual in conflicts)
    chaos.tell(f"{len(log)} decisions, {len(conflicts)} conflicts")


def test_an_event_that_everybody_appends_at_once_is_stored_once(clients, chaos: Plan) -> None:
    storms = [new_events(2, f"storm-{n % 3}") for n in range(chaos.rounds(15, per_round=15))]

    def append_all(number: int) -> list[Appended]:
        client = clients[number % 2]
        if number % 4 == 3:
            appends = [Append(events=events) for events in storms]
            return patiently(lambda: client.append_batch(appends))
        return [patiently(partial(client.append, events)) for events in storms]

    answers = together([partial(append_all, number) for number in range(WRITERS)], timeout=120)

    log = list(SqlEventStore().read_stream())
    check_log(log)
    assert len(log) == 2 * len(storms)
    assert all(answer == answers[0] for answer in answers)
    stored = {event.event_id: (event.version, event.position) for event in log}
    for events, answer in zip(storms, answers[0], strict=True):
        places = list(zip(answer.versions, answer.positions, strict=True))
        assert places == [stored[event.event_id] for event in events]
    chaos.tell(f"{len(storms)} appends, each {WRITERS} times: {len(log)} events")


def test_of_other_contents_under_one_id_the_first_stays(clients, chaos: Plan) -> None:
    contested = [new_event(f"id-{n % 3}") for n in range(chaos.rounds(15, per_round=15))]

    def append_mine(number: int) -> list[int | None]:
        won: list[int | None] = []
        for event in contested:
            mine = replace(event, data=f'{{"writer":{number}}}')
            try:
                patiently(partial(clients[number % 2].append, [mine]))
            except EventIdConflict:
                won.append(None)
            else:
                won.append(number)
        return won

    outcomes = together([partial(append_mine, number) for number in range(WRITERS)], timeout=120)

    log = {event.event_id: event.payload["writer"] for event in SqlEventStore().read_stream()}
    for event, writers in zip(contested, zip(*outcomes, strict=True), strict=True):
        winners = [writer for writer in writers if writer is not None]
        assert winners == [log[event.event_id]]
    assert len(log) == len(contested)
    chaos.tell(f"{len(contested)} ids, each of {WRITERS} contents")


@pytest.mark.parametrize("by_batch", [False, True], ids=["alone", "in batches"])
def test_in_one_group_a_refused_append_fails_alone(clients, by_batch: bool, chaos: Plan) -> None:
    """Half of the writers say what is wrong; the other half's events are all stored."""
    count = chaos.rounds(10, per_round=10)

    def right(number: int) -> list[Any]:
        return [Append(events=[new_event(f"right-{number}")]) for _ in range(count)]

    def wrong(number: int) -> list[Any]:
        return [Append(events=[new_event("wrong")], expected_version=7) for _ in range(count)]

    def write(number: int) -> Counter[type]:
        client = clients[number % 2]
        appends = right(number) if number < WRITERS // 2 else wrong(number)
        if by_batch:
            outcomes = patiently(lambda: client.append_batch(appends))
        else:
            outcomes = [patiently(partial(outcome, client, append)) for append in appends]
        return Counter(map(type, outcomes))

    counted = together([partial(write, number) for number in range(WRITERS)], timeout=120)

    assert counted[: WRITERS // 2] == [{Appended: count}] * (WRITERS // 2)
    assert counted[WRITERS // 2 :] == [{VersionConflict: count}] * (WRITERS // 2)
    log = list(SqlEventStore().read_stream())
    check_log(log)
    assert Counter(event.aggregate_id for event in log) == {
        f"right-{number}": count for number in range(WRITERS // 2)
    }


def outcome(client: RemoteEventStore, append: Append) -> Appended | EventStoreError:
    try:
        return client.append(append.events, append.expected_version)
    except VersionConflict as conflict:
        return conflict
