"""The subscriber runtime on a real NATS server and database, with the log in memory."""

import threading

import pytest

from eventstore.client.events import Event
from eventstore.client.fibers import aside
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.subscription import Reactor
from eventstore.publisher import Publisher
from tests.contract.new_events import new_event
from tests.integration.broker import STREAM, Broker
from tests.integration.handlers import Ledger, Reactions
from tests.integration.messaging import (
    NAME,
    Subscribe,
    checkpoint,
    fill,
    followed,
    settled,
)
from tests.together import eventually

pytest_plugins = ["tests.integration.messaging"]
pytestmark = [
    pytest.mark.usefixtures("impatient"),
    pytest.mark.django_db(databases=["payments"], transaction=True),
]


def test_everything_is_applied_and_the_checkpoint_follows(
    log: InMemoryEventStore, publisher: Publisher, subscribe: Subscribe
) -> None:
    fill(log, 500)
    ledger = Ledger()
    subscribe(ledger)
    followed(ledger, log)
    eventually(lambda: checkpoint() == 500)
    fill(log, 3)
    followed(ledger, log)
    eventually(lambda: checkpoint() == 503)


def test_the_checkpoint_passes_what_does_not_concern_the_subscription(
    log: InMemoryEventStore, publisher: Publisher, subscribe: Subscribe
) -> None:
    reactions = Reactions()
    subscribe(Reactor({"order-created": reactions}))
    for position in range(1, 31):
        log.append([new_event("a", event_type="order-created" if position < 11 else "order-seen")])
    eventually(lambda: len(reactions.seen) == 10)
    eventually(lambda: checkpoint() == 30)
    assert len(reactions.seen) == 10


def test_two_workers_share_the_work_and_apply_everything_once(
    log: InMemoryEventStore, publisher: Publisher, subscribe: Subscribe
) -> None:
    both_at_work = threading.Barrier(2)
    arrived: set[str] = set()

    def meet(event: Event) -> None:
        name = threading.current_thread().name
        if name not in arrived:
            arrived.add(name)
            both_at_work.wait(20)

    ledger = Ledger(meet)
    for number in (1, 2):
        subscribe(ledger, worker=f"tests-{number}")
    for _ in range(30):
        fill(log, 50, orders=40)
    followed(ledger, log)
    assert len(arrived) == 2


def test_a_reactor_gets_only_its_types(
    broker: Broker, log: InMemoryEventStore, publisher: Publisher, subscribe: Subscribe
) -> None:
    for event_type in ("order-created", "order-paid", "ORDERS.created", "order-created"):
        log.append([new_event("a", event_type=event_type)])
    reactions = Reactions()
    subscribe(Reactor({"order-created": reactions, "ORDERS.created": reactions}))
    eventually(lambda: sorted(reactions.versions) == [("a", 1), ("a", 3), ("a", 4)])
    config = broker.js(lambda js: js.consumer_info(STREAM, NAME)).config
    assert config.filter_subjects == ["ORDERS.created", "ORDERS.order-created"]


def test_a_new_version_that_reacts_to_more_types_gets_them(
    broker: Broker, log: InMemoryEventStore, publisher: Publisher, subscribe: Subscribe
) -> None:
    first = subscribe(Reactor({"order-created": Reactions()}))
    eventually(lambda: checkpoint() == 0 and settled_or_missing(broker))
    first.stop()
    reactions = Reactions()
    subscribe(Reactor({"order-created": reactions, "order-paid": reactions}))
    config = eventually(lambda: two_filters(broker))
    assert config == ["ORDERS.order-created", "ORDERS.order-paid"]
    log.append([new_event("a", event_type="order-paid")])
    eventually(lambda: reactions.versions == [("a", 1)])


def settled_or_missing(broker: Broker) -> bool:
    try:
        return settled(broker)
    except Exception:
        return False


def two_filters(broker: Broker) -> list[str]:
    config = broker.js(lambda js: js.consumer_info(STREAM, NAME)).config
    filters = config.filter_subjects or []
    return filters if len(filters) == 2 else []


def test_a_reaction_that_waits_for_long_holds_up_no_later_ones(
    log: InMemoryEventStore, publisher: Publisher, subscribe: Subscribe, broker: Broker
) -> None:
    may_come = threading.Event()

    def wait(event: Event) -> None:
        if event.aggregate_id.startswith("slow"):
            aside(lambda: may_come.wait(30))

    reactions = Reactions(wait)
    subscribe(Reactor({"order-created": reactions}))
    for number in range(3):
        log.append([new_event(f"slow-{number}")])
        log.append([new_event(f"quick-{number}")])
        eventually(lambda number=number: (f"quick-{number}", 1) in reactions.versions)
    assert not any(id_.startswith("slow") for id_, _ in reactions.versions)
    eventually(lambda: broker.js(lambda js: js.consumer_info(STREAM, NAME)).num_ack_pending == 3)
    may_come.set()
    eventually(lambda: settled(broker))
    assert sorted(reactions.versions) == sorted(
        (f"{kind}-{number}", 1) for kind in ("quick", "slow") for number in range(3)
    )


def test_a_worker_that_is_stopped_finishes_what_waits_for_somebody(
    log: InMemoryEventStore, publisher: Publisher, subscribe: Subscribe, broker: Broker
) -> None:
    asked, may_come = threading.Event(), threading.Event()

    def wait(event: Event) -> None:
        asked.set()
        aside(lambda: may_come.wait(30))

    reactions = Reactions(wait)
    worker = subscribe(Reactor({"order-created": reactions}))
    log.append([new_event("a")])
    assert asked.wait(15)
    threading.Timer(0.5, may_come.set).start()
    worker.stop()
    assert worker.ended
    assert reactions.versions == [("a", 1)]
    eventually(lambda: settled(broker))
