"""A subscription finds its place on a stream that was made anew, or is being so."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections

from eventstore.client.broker import Connection
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.subscribing.binding import NotYet, bind
from eventstore.publisher import Publisher
from eventstore.publishing.jetstream import create
from payments.models import Checkpoint
from tests.integration.broker import STREAM, Broker
from tests.integration.handlers import Ledger
from tests.integration.messaging import (
    NAME,
    Subscribe,
    checkpoint,
    fill,
    followed,
    said,
    subscription_of,
)
from tests.together import eventually

pytest_plugins = ["tests.integration.messaging"]
pytestmark = [
    pytest.mark.usefixtures("impatient"),
    pytest.mark.django_db(databases=["payments"], transaction=True),
]


def test_a_subscription_goes_back_for_a_refilled_stream_once(
    broker: Broker,
    log: InMemoryEventStore,
    publisher: Publisher,
    subscribe: Subscribe,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not whenever its durable is made anew, which a killed worker is reason enough for."""
    fill(log, 5)
    ledger = Ledger()
    worker = subscribe(ledger)
    followed(ledger, log)
    broker.publish("ORDERS.foreign", b"{}")
    fill(log, 5)
    followed(ledger, log)
    eventually(lambda: checkpoint() == 10)
    worker.stop()
    Checkpoint.objects.filter(pk=NAME).update(position=9)
    caplog.clear()
    subscribe(ledger)
    eventually(lambda: said(caplog, logging.INFO, "new consumer"))
    assert said(caplog, logging.INFO, "from position 10 on")


def test_a_stream_that_is_refilled_while_a_subscription_binds_is_looked_at_again(
    broker: Broker, log: InMemoryEventStore
) -> None:
    fill(log, 5)
    log_id = log.head().log_id
    subscription = subscription_of(Ledger(), log)
    Checkpoint.objects.create(pk=NAME, log_id=log_id, position=5)

    async def bound(connection: Connection) -> None:
        async def refilling(work: Callable[[], Any]) -> Any:
            await connection.js.delete_stream(STREAM)
            await create(connection, STREAM, log_id, replicas=1, refilled_from=3)
            return await asyncio.to_thread(closing(work))

        await create(connection, STREAM, log_id, replicas=1)
        with pytest.raises(NotYet):
            await bind(connection, subscription, refilling)
        await bind(connection, subscription, lambda work: asyncio.to_thread(closing(work)))
        info = await connection.js.consumer_info(STREAM, NAME)
        assert info.config.opt_start_seq == 3

    broker.ask(bound)


def closing(work: Callable[[], Any]) -> Callable[[], Any]:
    def closed() -> Any:
        try:
            return work()
        finally:
            connections.close_all()

    return closed
