"""Commits whose outcome nobody hears: a proxy in front of PostgreSQL breaks connections at them."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import psycopg
import pytest
from django.db import connections
from psycopg import IsolationLevel

from eventstore.client import Appended, Event, NewEvent, Overloaded, Unavailable
from eventstore.publisher import Publisher
from eventstore.store import SqlEventStore
from orders_site.embedded.nats import EmbeddedNats
from orders_site.embedded.postgres import PORT
from tests.chaos import mirror
from tests.chaos.plan import Plan
from tests.chaos.proxy import IN_DOUBT, TROUBLE, Fate, Proxy, proxied
from tests.contract import stores
from tests.contract.new_events import new_events
from tests.e2e.invariants import check_log, check_stream
from tests.integration.broker import Stored
from tests.together import eventually, together

pytest_plugins = ["tests.chaos.telling"]
pytestmark = pytest.mark.django_db(databases=["eventstore"], transaction=True)

WRITERS = 8
COMMIT = b"COMMIT\0"
EVENT_TYPE = new_events(1)[0].event_type.encode()
SOCKET = f".s.PGSQL.{PORT}"


class Commits:
    """Sends a share of what commits one of the fates, each as often; everything else passes.

    An append is committed by its one statement, or by a COMMIT after several.

    `calm`: nothing happens. `left`: to how many it happens yet.
    """

    def __init__(
        self,
        dice: Random,
        share: float,
        fates: Sequence[Fate] = TROUBLE,
        *,
        left: int = 10**9,
        marks: Sequence[bytes] = (COMMIT, EVENT_TYPE),
    ) -> None:
        self._dice, self._share, self._fates, self._marks = dice, share, fates, marks
        self._deck: list[Fate] = []
        self._lock = threading.Lock()
        self.calm = False
        self.left = left

    def __call__(self, chunk: bytes) -> Fate:
        if self.calm or not any(mark in chunk for mark in self._marks):
            return Fate.PASS
        with self._lock:
            if self.left == 0 or self._dice.random() >= self._share:
                return Fate.PASS
            self.left -= 1
            self._deck = self._deck or self._dice.sample(self._fates, len(self._fates))
            return self._deck.pop()


@contextmanager
def proxied_postgres(commits: Commits, *, delay_seconds: float = 0.05) -> Iterator[Proxy]:
    """All of this process' connections to the event store's database go through a proxy."""
    parameters = connections.settings["eventstore"]
    host = parameters["HOST"]
    with TemporaryDirectory(prefix="proxy-") as folder:
        listen, server = Path(folder) / SOCKET, Path(host) / SOCKET
        with proxied(listen, server, commits, delay_seconds=delay_seconds) as proxy:
            connections["eventstore"].close()
            parameters["HOST"] = folder
            try:
                yield proxy
            finally:
                commits.calm = True
                connections["eventstore"].close()
                parameters["HOST"] = host


@dataclass
class Writer:
    """A client that repeats an append, as it was, until it is told where its events stand."""

    store: SqlEventStore
    aggregate: str
    dice: Random
    given_up: int = 0
    version: int = 0
    acknowledged: list[tuple[list[NewEvent], Appended]] = field(default_factory=list)

    def write(self, count: int) -> None:
        for _ in range(count):
            events = new_events(self.dice.choice([1, 1, 2, 3]), self.aggregate)
            answer = self._append(events)
            assert answer.versions[0] == self.version + 1
            self.version = answer.versions[-1]
            self.acknowledged.append((events, answer))
            if self.dice.random() < 0.2:
                self.repeat_one()

    def repeat_one(self) -> None:
        """Repeat an earlier append: it says what it said."""
        events, answer = self.dice.choice(self.acknowledged)
        expected = answer.versions[0] - 1
        assert self._append(events, expected) == answer

    def _append(self, events: list[NewEvent], expected: int | None = None) -> Appended:
        wanted = self.version if expected is None else expected
        for _ in range(100):
            try:
                return self.store.append(events, wanted)
            except (Unavailable, Overloaded):
                self.given_up += 1
        raise AssertionError("never acknowledged")


def check_acknowledged(writers: list[Writer], log: list[Event]) -> None:
    """Every acknowledged event is stored once, where its writer was told, and nothing else is."""
    check_log(log)
    stored = {event.event_id: (event.version, event.position) for event in log}
    told = {
        event.event_id: place
        for writer in writers
        for events, answer in writer.acknowledged
        for event, place in zip(
            events, zip(answer.versions, answer.positions, strict=True), strict=True
        )
    }
    assert told == stored


@pytest.mark.parametrize(
    "level", [IsolationLevel.READ_COMMITTED, IsolationLevel.SERIALIZABLE], ids=lambda it: it.name
)
def test_appends_whose_commits_are_in_doubt_are_stored_once(
    chaos: Plan, level: IsolationLevel
) -> None:
    count = chaos.rounds(15, per_round=15)
    commits = Commits(chaos.dice, 0.4)
    with stores.sql(level), proxied_postgres(commits) as proxy:
        # Two stores, as two server processes have them: the head row alone is between them.
        both = (SqlEventStore(), SqlEventStore())
        writers = [
            Writer(both[number % 2], f"order-{number}", Random(chaos.dice.random()))
            for number in range(WRITERS)
        ]
        together([partial(writer.write, count) for writer in writers], timeout=600)
        commits.calm = True
        check_acknowledged(writers, list(both[0].read_stream()))
    happened = {fate.name: proxy.fates[fate] for fate in TROUBLE}
    assert all(happened.values()), happened
    chaos.tell(
        f"{sum(happened.values())} commits in trouble {happened}, "
        f"{sum(len(writer.acknowledged) for writer in writers)} appends acknowledged, "
        f"{sum(writer.given_up for writer in writers)} given up and repeated"
    )


@pytest.mark.parametrize("fate", IN_DOUBT, ids=lambda it: it.name)
def test_one_append_whose_commit_took_effect_unheard_is_found_again(fate: Fate) -> None:
    """The store asks the log itself: its caller hears nothing of the trouble."""
    commits = Commits(Random(1), 1.0, (fate,), left=0)
    with stores.sql(), proxied_postgres(commits) as proxy:
        store = SqlEventStore()
        store.append(new_events(2, "a"), 0)
        commits.left = 1
        events = new_events(1, "a")
        for _ in range(2):
            assert store.append(events, 2) == Appended(versions=(3,), positions=(3,))
        assert proxy.fates[fate] == 1
        assert store.head().position == 3
        check_log(list(store.read_stream()))


@pytest.mark.parametrize("mark", [EVENT_TYPE, COMMIT], ids=["in one statement", "under the lock"])
def test_a_commit_that_a_live_connection_never_answers_is_cut_and_found_again(mark: bytes) -> None:
    commits = Commits(Random(1), 1.0, (Fate.SWALLOW,), left=0, marks=[mark])
    with stores.sql(), proxied_postgres(commits, delay_seconds=600) as proxy:
        store = SqlEventStore()
        store.append(new_events(1, "a"), 0)
        writer = store if mark == EVENT_TYPE else SqlEventStore()
        commits.left = 1

        def cut() -> None:
            eventually(lambda: proxy.fates[Fate.SWALLOW] == 1)
            eventually(lambda: writer.database.cut_silent(1) or answers)

        answers: list[Appended] = []
        append = partial(writer.append, new_events(1, "a"), 1)
        together([lambda: answers.append(append()), cut])
        assert answers == [Appended(versions=(2,), positions=(2,))]
        check_log(list(store.read_stream()))


def test_a_server_that_vanishes_in_mid_transaction_leaves_the_head_to_the_others() -> None:
    """Its last word was the lock; the database waits for the next one, which never arrives."""
    commits = Commits(Random(1), 1.0, (Fate.DELAY,), left=0, marks=[COMMIT])
    with stores.sql() as store, direct_session() as other:
        store.append(new_events(1, "a"), 0)
        other.execute("SET lock_timeout = '1s'")
        with proxied_postgres(commits, delay_seconds=600) as proxy:
            commits.left = 1
            outcomes: list[object] = []
            vanished = threading.Thread(
                target=lambda: outcomes.append(_outcome(SqlEventStore(), new_events(1, "a")))
            )
            vanished.start()
            eventually(lambda: proxy.fates[Fate.DELAY] == 1)
            assert not _head_is_free(other)
            eventually(lambda: _head_is_free(other), timeout=20)
            vanished.join(20)
        (outcome,) = outcomes
        assert store.head().position == (1 if isinstance(outcome, Unavailable) else 2), outcome


def _outcome(store: SqlEventStore, events: list[NewEvent]) -> object:
    try:
        return store.append(events)
    except (Unavailable, Overloaded) as error:
        return error
    finally:
        connections["eventstore"].close()


def _head_is_free(session: psycopg.Connection) -> bool:
    try:
        session.execute("SELECT 1 FROM eventstore_stream WHERE name = 'ORDERS' FOR UPDATE")
    except psycopg.errors.LockNotAvailable:
        return False
    return True


def test_nothing_is_on_the_stream_before_it_is_committed(
    chaos: Plan, nats_server: EmbeddedNats
) -> None:
    """Commits come late, or never and are repeated; whoever sees a message finds its event."""
    count = chaos.rounds(10, per_round=10)
    commits = Commits(chaos.dice, 0.5, (Fate.DELAY, Fate.DELAY, Fate.CUT_BEFORE, Fate.CUT_AFTER))
    url = nats_server.url("publisher")
    premature: list[Stored] = []
    with stores.sql() as store, direct_session() as session, proxied_postgres(commits):
        publisher = Publisher(store, streams=["ORDERS"], nats_url=url)
        store.commits.hooks.append(publisher.offer)
        publisher.start()
        eventually(lambda: mirror.state(url)[1] == 0)

        def look(message: Stored) -> None:
            sql = "SELECT event_id FROM eventstore_event WHERE stream = 'ORDERS' AND position = %s"
            row = session.execute(sql, [message.sequence]).fetchone()
            if row is None or str(row[0]) != message.headers.get("ce-id"):
                premature.append(message)

        watcher = mirror.Watcher(url, look)
        try:
            writers = [Writer(store, f"order-{n}", Random(n)) for n in range(WRITERS)]
            together([partial(writer.write, count) for writer in writers], timeout=600)
            commits.calm = True
            log = list(store.read_stream())
            check_acknowledged(writers, log)
            eventually(lambda: watcher.count >= len(log), timeout=30)
        finally:
            watcher.stop()
            publisher.stop()
        assert premature == []
        check_stream(log, mirror.messages(url), store.head().log_id)
    chaos.tell(f"{watcher.count} messages, none before its commit")


@contextmanager
def direct_session() -> Iterator[psycopg.Connection]:
    """A session that goes past the proxy."""
    parameters = connections["eventstore"].get_connection_params()
    names = ("dbname", "user", "host", "port")
    with psycopg.connect(**{n: parameters[n] for n in names}, autocommit=True) as session:
        yield session
