"""Bytes on the stream that are no text: whoever may publish can send them, and stop nobody."""

import pytest

from eventstore.client.broker import Connection
from eventstore.client.memory import InMemoryEventStore
from tests.integration.broker import Broker
from tests.integration.handlers import Ledger
from tests.integration.messaging import Publish, Subscribe, fill, followed, published

pytest_plugins = ["tests.integration.messaging"]
pytestmark = [
    pytest.mark.usefixtures("impatient"),
    pytest.mark.django_db(databases=["payments"], transaction=True),
]
SUBJECT = b"ORDERS.\xff\xfe"


@pytest.mark.parametrize(
    "frame",
    [
        b"PUB %b 2\r\n{}\r\n" % SUBJECT,
        b"HPUB %b 23 25\r\nNATS/1.0\r\nce-id: \xff\r\n\r\n{}\r\n" % SUBJECT,
        b"HPUB ORDERS.a 16 18\r\nNATS/1.0 \xff\xfe\xfd\r\n\r\n{}\r\n",
    ],
    ids=["subject", "subject and header", "status"],
)
def test_a_message_that_can_not_be_decoded_stops_neither_publisher_nor_subscriber(
    broker: Broker, log: InMemoryEventStore, publish: Publish, subscribe: Subscribe, frame: bytes
) -> None:
    fill(log, 5)
    publish()
    ledger = Ledger()
    subscribe(ledger)
    followed(ledger, log)

    async def forge(connection: Connection) -> None:
        await connection.client._send_command(frame)
        await connection.client.flush()

    broker.ask(forge)
    fill(log, 5)
    followed(ledger, log)
    published(broker, log)
