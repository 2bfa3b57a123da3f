"""What each of the embedded NATS server's users may do, and that JetStream outlives a kill."""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import nats
import nats.errors
import nats.js.errors
import pytest

from orders_site.embedded.credentials import load_or_create
from orders_site.embedded.nats import EmbeddedNats
from orders_site.embedded.ports import free_port


@pytest.fixture
def server():
    data_dir = Path(tempfile.mkdtemp(prefix="orders-nats-"))
    server = EmbeddedNats(data_dir, free_port(), load_or_create(data_dir), ["ORDERS", "TENANT2"])
    server.start()
    yield server
    server.stop()
    shutil.rmtree(data_dir)


class Client:
    """A connection that remembers what the server refused."""

    def __init__(self):
        self.refusals: asyncio.Queue[str] = asyncio.Queue()

    async def connect(self, url: str) -> None:
        async def remember(error):
            self.refusals.put_nowait(str(error).lower())

        self.connection = await nats.connect(url, error_cb=remember)
        self.jetstream = self.connection.jetstream(timeout=5)

    async def is_refused(self, subject: str) -> bool:
        """Publish without waiting for a reply; the server says no within five seconds."""
        await self.connection.publish(subject, b"{}")
        refusal = await asyncio.wait_for(self.refusals.get(), timeout=5)
        return subject.lower() in refusal


def as_users(server, steps: Callable[[Client, Client], Awaitable]) -> object:
    """Run `steps` with a publisher (who has made the stream ORDERS) and a subscriber."""

    async def connected():
        clients = [Client(), Client()]
        for client, role in zip(clients, ("publisher", "subscriber"), strict=True):
            await client.connect(server.url(role))
        await clients[0].jetstream.add_stream(name="ORDERS", subjects=["ORDERS.>"])
        try:
            return await steps(*clients)
        finally:
            for client in clients:
                await client.connection.close()

    return asyncio.run(connected())


def test_given_the_publisher_when_it_publishes_to_its_streams_then_they_store_it(server):
    async def steps(publisher, _):
        await publisher.jetstream.add_stream(name="TENANT2", subjects=["TENANT2.>"])
        acks = [
            await publisher.jetstream.publish(subject, b"{}")
            for subject in ("ORDERS.order-created", "TENANT2.order-created")
        ]
        return [(ack.stream, ack.seq) for ack in acks]

    assert as_users(server, steps) == [("ORDERS", 1), ("TENANT2", 1)]


def test_given_the_subscriber_when_it_publishes_an_event_then_it_is_refused(server):
    async def steps(publisher, subscriber):
        assert await subscriber.is_refused("ORDERS.order-created")
        return (await publisher.jetstream.stream_info("ORDERS")).state.messages

    assert as_users(server, steps) == 0


@pytest.mark.parametrize(
    "subject",
    [
        "$JS.API.STREAM.DELETE.ORDERS",
        "$JS.API.STREAM.PURGE.ORDERS",
        "$JS.API.STREAM.UPDATE.ORDERS",
        "$JS.API.STREAM.CREATE.OTHER",
        "$JS.API.STREAM.MSG.DELETE.ORDERS",
        "eventstore.committed.ORDERS",
        "anything",
    ],
)
def test_given_the_subscriber_when_it_changes_a_stream_then_it_is_refused(server, subject):
    async def steps(publisher, subscriber):
        await publisher.jetstream.publish("ORDERS.order-created", b"{}")
        assert await subscriber.is_refused(subject)
        return (await publisher.jetstream.stream_info("ORDERS")).state.messages

    assert as_users(server, steps) == 1


@pytest.mark.parametrize("subject", ["anything", "$SYS.REQ.SERVER.PING", "PAYMENTS.x"])
def test_given_the_publisher_when_it_publishes_elsewhere_then_it_is_refused(server, subject):
    assert as_users(server, lambda publisher, _: publisher.is_refused(subject))


def test_given_an_event_when_a_subscriber_pulls_then_it_reads_acks_and_manages_consumers(server):
    async def steps(publisher, subscriber):
        await publisher.jetstream.publish("ORDERS.order-created", b'{"a":1}')
        pull = await subscriber.jetstream.pull_subscribe(
            "ORDERS.>", durable="payments", stream="ORDERS"
        )
        (message,) = await pull.fetch(1, timeout=5)
        await message.ack_sync()
        raw = await subscriber.jetstream.get_msg("ORDERS", 1)
        information = await subscriber.jetstream.consumer_info("ORDERS", "payments")
        await subscriber.jetstream.stream_info("ORDERS")
        await subscriber.jetstream.account_info()
        await subscriber.jetstream.delete_consumer("ORDERS", "payments")
        return message.data, raw.data, information.num_ack_pending, subscriber.refusals.empty()

    assert as_users(server, steps) == (b'{"a":1}', b'{"a":1}', 0, True)


def test_given_a_hint_when_the_publisher_sends_it_then_both_users_hear_it(server):
    async def steps(publisher, subscriber):
        heard = [
            await client.connection.subscribe("eventstore.committed.>")
            for client in (publisher, subscriber)
        ]
        hinting = asyncio.create_task(hint(publisher))
        try:
            return [(await each.next_msg(timeout=5)).data for each in heard]
        finally:
            hinting.cancel()

    async def hint(publisher):
        # The other account hears of what was published a moment after it subscribed.
        while True:
            await publisher.connection.publish("eventstore.committed.ORDERS", b"7")
            await asyncio.sleep(0.1)

    assert as_users(server, steps) == [b"7", b"7"]


def test_given_nobody_when_connecting_without_credentials_then_it_is_refused(server):
    async def steps():
        await nats.connect(
            f"nats://127.0.0.1:{server.port}", allow_reconnect=False, connect_timeout=5
        )

    with pytest.raises(nats.errors.Error, match=r"(?i)authorization violation"):
        asyncio.run(steps())


def test_given_a_stored_event_when_the_server_is_killed_and_started_then_it_is_there(server):
    async def store(publisher, _):
        await publisher.jetstream.publish("ORDERS.order-created", b"{}")

    async def count(publisher, _):
        return (await publisher.jetstream.stream_info("ORDERS")).state.messages

    as_users(server, store)
    os.kill(server.process.pid(), signal.SIGKILL)
    while server.process.owns_running():
        os.sched_yield()
    server.start()

    assert as_users(server, count) == 1


FORGERIES = [
    pytest.param("$JS.API.INFO", b"", id="account"),
    pytest.param("$JS.API.STREAM.INFO.ORDERS", b"", id="stream"),
    pytest.param("$JS.API.STREAM.MSG.GET.ORDERS", b'{"seq":1}', id="a message"),
    pytest.param("$JS.API.DIRECT.GET.ORDERS", b'{"seq":1}', id="a message, directly"),
    pytest.param("$JS.API.CONSUMER.MSG.NEXT.ORDERS.payments", b'{"batch":1}', id="a pull"),
    pytest.param("$JS.API.CONSUMER.INFO.ORDERS.nobody", b"", id="an error"),
]


@pytest.mark.parametrize("target", ["ORDERS.order-created", "$JS.API.STREAM.DELETE.ORDERS"])
@pytest.mark.parametrize(("question", "payload"), FORGERIES)
def test_given_the_subscriber_when_it_wants_an_answer_sent_into_the_stream_then_it_is_not(
    server, question, payload, target
):
    async def steps(publisher, subscriber):
        await publisher.jetstream.publish("ORDERS.order-created", b'{"a":1}')
        await subscriber.jetstream.pull_subscribe("ORDERS.>", durable="payments", stream="ORDERS")
        await subscriber.connection.publish(question, payload, reply=target)
        # The broker works a connection's requests off in their order.
        await subscriber.connection.flush()
        await subscriber.jetstream.stream_info("ORDERS")
        return (await publisher.jetstream.stream_info("ORDERS")).state.messages

    assert as_users(server, steps) == 1


@pytest.mark.parametrize("target", ["ORDERS.order-created", "$JS.API.STREAM.DELETE.ORDERS"])
def test_given_the_subscriber_when_it_has_messages_pushed_into_the_stream_then_they_are_not(
    server, target
):
    async def steps(publisher, subscriber):
        await publisher.jetstream.publish("ORDERS.order-created", b'{"a":1}')
        push = nats.js.api.ConsumerConfig(durable_name="forger", deliver_subject=target)
        with contextlib.suppress(nats.js.errors.APIError):
            await subscriber.jetstream.add_consumer("ORDERS", push)
        for _ in range(3):
            await publisher.connection.flush()
            await subscriber.jetstream.stream_info("ORDERS")
        return (await publisher.jetstream.stream_info("ORDERS")).state.messages

    assert as_users(server, steps) == 1


def test_a_data_folder_may_have_any_name():
    data_dir = Path(tempfile.mkdtemp(prefix="orders nats é'\"$\\%s-"))
    server = EmbeddedNats(data_dir, free_port(), load_or_create(data_dir), ["ORDERS"])
    server.start()
    server.stop()
    shutil.rmtree(data_dir)
