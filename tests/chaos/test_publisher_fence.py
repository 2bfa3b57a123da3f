"""Publishers under fire: whatever dies on either side, the stream is the log again (I9)."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from eventstore.client import Append
from eventstore.client.memory import InMemoryEventStore
from eventstore.publisher import Publisher
from eventstore.store import SqlEventStore
from tests.chaos import mirror
from tests.chaos.fleet import Fleet
from tests.chaos.plan import Plan
from tests.chaos.proxy import TROUBLE, Fate, proxied
from tests.contract.new_events import new_events
from tests.e2e.invariants import check_stream
from tests.integration.broker import Broker
from tests.integration.test_event_store_process import database_url
from tests.together import eventually

pytest_plugins = ["tests.chaos.telling", "tests.integration.messaging"]

FIRST_EVENTS = 3_000


@pytest.fixture
def fleet(
    db_log: SqlEventStore, postgres, broker: Broker, tmp_path, chaos: Plan
) -> Iterator[Fleet]:
    def grow(count: int) -> None:
        appends = [Append(events=new_events(1, f"order-{n % 50}")) for n in range(count)]
        db_log.append_batch(appends)

    fleet = Fleet(broker, database_url(postgres), Path(tmp_path), chaos.dice, grow)
    try:
        yield fleet
    finally:
        fleet.kill_all()


@pytest.fixture
def db_log(transactional_db) -> SqlEventStore:
    store = SqlEventStore()
    store.create_stream("ORDERS")
    return store


@pytest.mark.timeout(3600)
@pytest.mark.django_db(databases=["eventstore"], transaction=True)
def test_after_every_trouble_the_stream_is_the_log(
    db_log: SqlEventStore, fleet: Fleet, chaos: Plan
) -> None:
    rounds = chaos.rounds(6)
    happened: Counter[str] = Counter()
    fleet.grow(FIRST_EVENTS)
    fleet.man()
    for _ in range(rounds):
        for name in chaos.dice.choices(list(fleet.troubles), k=chaos.dice.randrange(1, 4)):
            happened[name] += 1
            fleet.troubles[name]()
            fleet.man()
        stream_is_log(fleet.broker.url, db_log)
    assert fleet.stop() == [0, 0]
    assert "Traceback" not in fleet.output()
    chaos.tell(f"{rounds} rounds, {db_log.head().position} events, {dict(happened)}")


def stream_is_log(url: str, log: SqlEventStore | InMemoryEventStore, timeout: float = 60) -> None:
    """Wait until the stream is the log, message by message; says how it differs if it stays so.

    A foreign message may stand where an event belongs until a publisher has looked.
    """
    head, events = log.head(), list(log.read_stream())

    def is_log() -> bool:
        if mirror.state(url) != (str(head.log_id), head.position):
            return False
        try:
            check_stream(events, mirror.messages(url), head.log_id)
        except (AssertionError, *mirror.AWAY):
            return False
        return True

    with suppress(AssertionError):
        eventually(is_log, timeout)
    assert mirror.state(url) == (str(head.log_id), head.position)
    check_stream(events, mirror.messages(url), head.log_id)


class Publishes:
    """Sends some of what carries publishes their fate; requests of other kinds pass."""

    def __init__(self, dice: Random, share: float) -> None:
        self._dice, self._share = dice, share
        self._deck: list[Fate] = []

    def __call__(self, chunk: bytes) -> Fate:
        if b"Nats-Expected-Last-Sequence" not in chunk or self._dice.random() >= self._share:
            return Fate.PASS
        self._deck = self._deck or self._dice.sample(TROUBLE, len(TROUBLE))
        return self._deck.pop()


@pytest.mark.timeout(3600)
def test_publishes_whose_answers_are_lost_are_on_the_stream_once(
    log: InMemoryEventStore, broker: Broker, chaos: Plan
) -> None:
    """A page is cut in the middle, stored and not acknowledged, acknowledged into the void."""
    pages = chaos.rounds(12, per_round=12)
    judge = Publishes(chaos.dice, 0.5)
    server = ("127.0.0.1", broker.server.port)
    with proxied(("127.0.0.1", 0), server, judge) as proxy:
        url = broker.url.replace(f":{server[1]}", f":{proxy.address[1]}")
        publisher = Publisher(log, streams=["ORDERS"], nats_url=url, refused_seconds=0.3)
        publisher.start()
        try:
            for page in range(pages):
                for event in new_events(chaos.dice.randrange(1, 300), f"order-{page}"):
                    log.append([event])
                publisher.wake("ORDERS", log.head().position)
                eventually(lambda: mirror.state(broker.url)[1] == log.head().position, 60)
            stream_is_log(broker.url, log)
        finally:
            publisher.stop()
    happened = {fate.name: proxy.fates[fate] for fate in TROUBLE if proxy.fates[fate]}
    assert len(happened) > 2
    chaos.tell(f"{log.head().position} events, {happened}")
