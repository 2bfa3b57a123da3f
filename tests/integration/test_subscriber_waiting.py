"""Reactions that wait for somebody else for long, and what else happens meanwhile."""

import threading

import pytest

from eventstore.client import TransientError, subscriber
from eventstore.client.events import Event
from eventstore.client.fibers import aside
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.subscribing import binding
from eventstore.client.subscribing.catching_up import CatchingUp
from eventstore.client.subscribing.checkpointing import Checkpoints
from eventstore.client.subscribing.delivery import Done, Later
from eventstore.client.subscription import Reactor
from eventstore.publisher import Publisher
from tests.contract.new_events import new_event
from tests.integration.broker import STREAM, Broker
from tests.integration.desks import Settled, deliveries, desk, fill, handled, reactor, the_row
from tests.integration.handlers import Reactions
from tests.integration.messaging import NAME, State, Subscribe, settled, subscription_of
from tests.together import eventually

pytest_plugins = ["tests.integration.messaging"]
pytestmark = [
    pytest.mark.usefixtures("impatient"),
    pytest.mark.django_db(databases=["payments"], transaction=True),
]


class Untellable(Exception):
    """An error that fails once more when somebody asks what it says."""

    def __str__(self) -> str:
        raise LookupError("nothing to say")


def test_an_error_that_cannot_be_told_is_counted_and_no_other_reaction_is_run_twice(
    log: InMemoryEventStore,
) -> None:
    def react(event: Event) -> None:
        if event.aggregate_id == "bad":
            raise Untellable
        aside(lambda: None)

    reactions = Reactions(react)
    work = desk(log, reactor(reactions), threads=2)
    for id_ in ("bad", "good"):
        fill(log, id_)
    found = handled(work, deliveries(log))
    assert found == {1: Later(1.0), 2: Done()}
    assert the_row().error == "LookupError: nothing to say"
    assert [event.aggregate_id for event in reactions.seen] == ["good"]
    work.close()


def test_a_failure_of_what_was_left_unfinished_is_no_fault_of_the_next_message(
    log: InMemoryEventStore,
) -> None:
    may_come = threading.Event()

    def react(event: Event) -> None:
        if event.aggregate_id == "bad":
            aside(lambda: may_come.wait(20))
            raise Untellable

    work = desk(log, reactor(Reactions(react)), threads=2)
    fill(log, "bad")
    found = Settled()
    work.handle(deliveries(log), found)
    assert not found
    fill(log, "good")
    may_come.set()
    eventually(lambda: work.has_news)
    work.handle(deliveries(log)[1:], found)
    assert found == {1: Later(1.0), 2: Done()}
    assert the_row().aggregate_id == "bad"
    work.close()


def test_a_message_that_is_delivered_again_meanwhile_is_reacted_to_once_and_settled_as_well(
    log: InMemoryEventStore,
) -> None:
    may_come = threading.Event()
    reactions = Reactions(lambda event: aside(lambda: may_come.wait(20)))
    work = desk(log, reactor(reactions), threads=4)
    fill(log, "slow")
    first, again = Settled(), Settled()
    work.handle(deliveries(log), first)
    work.handle(deliveries(log), again)
    assert len(work.unfinished) == 2
    may_come.set()
    eventually(lambda: work.has_news)
    work.handle([], Settled())
    assert (first, again) == ({1: Done()}, {1: Done()})
    assert reactions.versions == [("slow", 1)]
    assert not work.unfinished
    work.close()


def test_what_is_read_from_the_log_is_waited_for(log: InMemoryEventStore) -> None:
    reactions = Reactions(lambda event: aside(lambda: threading.Event().wait(0.2)))
    subscription = subscription_of(reactor(reactions), log)
    work = desk(log, subscription.handler, threads=4)
    for number in range(3):
        fill(log, f"order-{number}")
    log_id = log.head().log_id
    Checkpoints(subscription).begin(log_id)
    place = binding.Binding(log_id, NAME, None)
    assert CatchingUp(subscription, work).up_to(4, place) == 0
    assert sorted(event.position for event in reactions.seen) == [1, 2, 3]
    work.close()


def test_what_waits_is_not_delivered_again_while_a_retry_takes_long(
    log: InMemoryEventStore,
    publisher: Publisher,
    subscribe: Subscribe,
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(binding, "ACK_WAIT_SECONDS", 2.0)
    monkeypatch.setattr(subscriber, "ACK_WAIT_SECONDS", 2.0)
    asked, retried, may_come = threading.Event(), threading.Event(), threading.Event()

    def react(event: Event) -> None:
        if event.aggregate_id == "slow":
            asked.set()
            aside(lambda: may_come.wait(30))
        elif not retried.is_set() and asked.is_set():
            retried.wait(4.5)
            retried.set()

    reactions = Reactions(react)
    subscribe(Reactor({"order-created": reactions}))
    log.append([new_event("other")])
    eventually(lambda: reactions.versions and settled(broker))
    log.append([new_event("slow")])
    assert asked.wait(15)
    subscription = subscription_of(Reactor({}), log)
    row = {"subscription": NAME, "aggregate_id": "other", "from_version": 1}
    subscription.parked.objects.create(**row, position=1, state=State.RETRY, attempts=1)
    assert retried.wait(20)
    may_come.set()
    eventually(lambda: settled(broker))
    assert reactions.versions == [("other", 1), ("other", 1), ("slow", 1)]
    assert broker.js(lambda js: js.consumer_info(STREAM, NAME)).delivered.consumer_seq == 2


def test_in_an_outage_a_stop_waits_not_for_ever_for_what_hangs(
    log: InMemoryEventStore, publisher: Publisher, subscribe: Subscribe
) -> None:
    hangs, out, go = threading.Event(), threading.Event(), threading.Event()

    def react(event: Event) -> None:
        if event.aggregate_id == "hangs":
            hangs.set()
            aside(lambda: go.wait(30))
        else:
            out.set()
            raise TransientError

    worker = subscribe(Reactor({"order-created": Reactions(react)}))
    log.append([new_event("hangs")])
    assert hangs.wait(15)
    log.append([new_event("out")])
    assert out.wait(15)
    eventually(lambda: worker.subscriber._report._outage_since is not None)
    try:
        worker.stop()
        assert worker.ended is False
    finally:
        go.set()
