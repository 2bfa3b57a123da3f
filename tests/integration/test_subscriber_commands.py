"""The commands around publisher and subscriber, as processes see them."""

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from eventstore.client.command import SubscribeCommand
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.subscription import Subscription
from eventstore.publisher import Publisher
from payments.models import Checkpoint, ParkedMessage
from tests.contract.new_events import new_events
from tests.integration.broker import STREAM, Broker
from tests.integration.handlers import Ledger
from tests.together import eventually


class Subscribe(SubscribeCommand):
    """A context's command."""

    log: InMemoryEventStore
    ledger: Ledger
    worker = ""

    def subscription(self, options: dict[str, Any]) -> Subscription:
        self.worker = options["worker"]
        return Subscription(
            name="tests",
            worker=options["worker"],
            handler=self.ledger,
            store=self.log,
            database="payments",
            checkpoints=Checkpoint,
            parked=ParkedMessage,
        )


@pytest.fixture
def command() -> Iterator[Subscribe]:
    command = Subscribe(stdout=StringIO())
    command.log, command.ledger = InMemoryEventStore(), Ledger()
    yield command
    gc.unfreeze()


@pytest.fixture
def broker(nats_server) -> Broker:
    return Broker(nats_server)


def publish(log: InMemoryEventStore, broker: Broker) -> None:
    publisher = Publisher(log, streams=[STREAM], nats_url=broker.url)
    publisher.start()
    eventually(lambda: broker.last() == log.head().position)
    publisher.stop()


@pytest.mark.django_db(databases=["payments"], transaction=True)
def test_a_subscribe_command_works_on_what_is_there(command: Subscribe, broker: Broker) -> None:
    command.log.append(new_events(5))
    publish(command.log, broker)
    call_command(command, once=True, worker="store-1")
    assert command.ledger.applied == {"order-1": 5}
    assert command.worker == "store-1"


@pytest.mark.django_db(databases=["payments"], transaction=True)
def test_a_worker_does_not_pause_to_look_for_garbage_in_what_is_loaded(
    command: Subscribe, broker: Broker
) -> None:
    publish(command.log, broker)
    call_command(command, once=True)
    assert len(gc.get_objects()) < gc.get_freeze_count()


@pytest.mark.django_db(databases=["payments"], transaction=True)
def test_a_subscribe_command_names_its_worker_by_itself(command: Subscribe, broker: Broker) -> None:
    publish(command.log, broker)
    call_command(command, once=True)
    assert command.worker.endswith(f"-{os.getpid()}")


@pytest.mark.django_db(databases=["payments"], transaction=True)
def test_a_subscription_that_is_refused_ends_the_command_with_an_error(
    command: Subscribe, broker: Broker
) -> None:
    publish(command.log, broker)
    Checkpoint.objects.create(subscription="tests", log_id=uuid4(), position=3)
    with pytest.raises(CommandError, match="recover_log") as error:
        call_command(command, once=True)
    assert error.value.returncode == 1


def test_the_publisher_alone_waits_for_what_is_away_and_stops_on_sigterm(tmp_path: Any) -> None:
    """Neither database nor NATS are there; the log says so, in lines without a traceback."""
    environment = os.environ | {
        "ORDERS_DATA_DIR": str(tmp_path),
        "ORDERS_EVENTSTORE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/eventstore",
        "ORDERS_NATS_URL": "nats://127.0.0.1:1",
    }
    process = subprocess.Popen(
        [sys.executable, "manage.py", "run_publisher"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines: list[str] = []
    reading = threading.Thread(target=lines.extend, args=[process.stderr])
    reading.start()
    try:
        eventually(lambda: any("NATS is away" in line for line in lines), timeout=30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        reading.join()
    assert not any("Traceback" in line for line in lines)
