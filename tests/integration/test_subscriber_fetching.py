"""Messages on their way from NATS to a worker and its answers back, a fetch at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from nats.js import api

from eventstore.client import subscriber
from eventstore.client.broker import Connection
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.subscribing.delivery import Done, Later
from eventstore.client.subscribing.hand import Hand
from eventstore.client.subscribing.pulling import Puller, pulling
from eventstore.publisher import Publisher
from tests.integration.broker import STREAM, Broker
from tests.integration.handlers import Ledger
from tests.integration.messaging import Subscribe, fill, followed, settled
from tests.together import eventually

pytest_plugins = ["tests.integration.messaging"]
pytestmark = [
    pytest.mark.usefixtures("impatient"),
    pytest.mark.django_db(databases=["payments"], transaction=True),
]


def pulled(
    broker: Broker, batch: int, work: Callable[[Connection, Puller], Awaitable[None]]
) -> None:
    """Do the work on a connection of its own with a puller of a new consumer."""

    async def on(connection: Connection) -> None:
        config = api.ConsumerConfig(name="tests", durable_name="tests", ack_wait=60)
        await connection.js.add_consumer(STREAM, config)
        async with pulling(connection, STREAM, "tests", batch, directly=True) as puller:
            await work(connection, puller)

    broker.ask(on)


async def become(probe: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    async with asyncio.timeout(15):
        while await probe() != wanted:
            await asyncio.sleep(0.01)


def unacknowledged(broker: Broker) -> Callable[[], Awaitable[int]]:
    """What the broker waits for an answer to, asked on another connection."""

    async def asked() -> int:
        return await asyncio.to_thread(
            lambda: broker.js(lambda js: js.consumer_info(STREAM, "tests")).num_ack_pending or 0
        )

    return asked


def test_what_is_settled_is_told_at_once_and_the_rest_given_back(
    broker: Broker, log: InMemoryEventStore, publisher: Publisher
) -> None:
    fill(log, 20)
    eventually(lambda: broker.last() == 20)

    async def work(connection: Connection, puller: Puller) -> None:
        hand, pending = Hand(connection), unacknowledged(broker)
        while len(hand.deliveries()) < 20:
            hand.add(await puller.take(20, 5))
        first, second, *others = hand.deliveries()
        assert not any(delivery.redelivered for delivery in hand.deliveries())
        assert [delivery.sequence for delivery in hand.deliveries()] == list(range(1, 21))
        hand.settle(first, Later(0))
        for delivery in others:
            hand.settle(delivery, Done())
        puller.hear()
        assert await pending() == 20
        await hand.send_settled()
        await become(pending, 2)
        assert hand.deliveries() == [second]
        await hand.give_back(0)
        again: list[tuple[int, bool]] = []
        while len(again) < 2:
            hand.add(await puller.take(20, 5))
            again = [(delivery.sequence, delivery.redelivered) for delivery in hand.deliveries()]
        assert sorted(again) == [(1, True), (2, True)]

    pulled(broker, 20, work)


def test_from_one_take_to_the_next_the_connection_is_left_unread(
    broker: Broker, log: InMemoryEventStore, publisher: Publisher
) -> None:
    fill(log, 2)
    eventually(lambda: broker.last() == 2)

    async def work(connection: Connection, puller: Puller) -> None:
        taken = len(await puller.take(10, 5))
        fill(log, 8)
        # All are on their way: the broker has been asked for ten.
        await become(unacknowledged(broker), 10)
        assert puller.waiting() == []
        while taken < 10:
            taken += len(await puller.take(10, 5))
        assert taken == 10

    pulled(broker, 10, work)


def test_while_a_batch_is_worked_on_the_next_one_is_on_its_way(
    broker: Broker, log: InMemoryEventStore, publisher: Publisher
) -> None:
    fill(log, 40)
    eventually(lambda: broker.last() == 40)

    async def work(connection: Connection, puller: Puller) -> None:
        taken = 0
        while taken < 10:
            taken += len(await puller.take(10 - taken, 5))
        await become(unacknowledged(broker), 20)

    pulled(broker, 10, work)


def test_events_in_quick_succession_share_a_fetch(
    broker: Broker,
    log: InMemoryEventStore,
    publisher: Publisher,
    subscribe: Subscribe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscriber, "PROJECTOR_PACE_SECONDS", 2)
    ledger = Ledger()
    subscribe(ledger)
    fill(log, 1)
    followed(ledger, log)
    for number in range(2, 31):
        fill(log, 1)
        eventually(lambda last=number: broker.last() == last)  # type: ignore[misc]
    followed(ledger, log)
    assert ledger.calls < 15
    eventually(lambda: settled(broker))
