"""Processes that write down when they saw each event, by the one monotonic clock of the machine:
`python -m benchmarks.witness server|listener|projector FILE [PORT]`, until SIGTERM.
"""

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import django

TELL_SECONDS = 0.05


class Notes:
    """(position, nanoseconds) pairs, written when the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pairs = array("q")
        self._last = 0
        self._told = threading.Thread(target=self._tell, daemon=True)
        self._told.start()

    def note(self, *positions: int) -> None:
        """These were seen now."""
        now = time.monotonic_ns()
        for position in positions:
            self._pairs.extend((position, now))
            self._last = max(self._last, position)

    def write(self) -> None:
        """Write all of them down."""
        self._path.write_bytes(self._pairs.tobytes())

    def ready(self) -> None:
        """Say that from now on everything is seen; what is loaded by now stays, as in `up`."""
        gc.collect()
        gc.freeze()
        Path(f"{self._path}.ready").touch()

    def _tell(self) -> None:
        # A file that is made anew each time would be written to the disk that is measured.
        with Path(f"{self._path}.last").open("wb", buffering=0) as file:
            while True:
                os.pwrite(file.fileno(), str(self._last).encode(), 0)
                time.sleep(TELL_SECONDS)


def server(notes: Notes, port: int) -> None:
    """The event store with its publisher; sees commits."""
    from django.conf import settings

    from eventstore.publisher import Publisher
    from eventstore.server import EventStoreServer
    from eventstore.store import SqlEventStore

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    store = SqlEventStore()
    publisher = Publisher(store, streams=["ORDERS"], nats_url=settings.NATS_PUBLISHER_URL)
    store.commits.hooks.append(lambda events: notes.note(*(event.position for event in events)))
    store.commits.hooks.append(publisher.offer)
    publisher.start()
    serving = EventStoreServer(store, "127.0.0.1", port, threads=settings.EVENTSTORE_THREADS)
    serving.start()
    while "published up to the head" not in publisher.status()[0].state:
        time.sleep(0.02)
    notes.ready()
    serving.set_serving(True)
    stop.wait()
    serving.stop(2)
    publisher.stop()


def listener(notes: Notes) -> None:
    """A subscriber that does nothing; sees messages."""
    asyncio.run(_listen(notes))


async def _listen(notes: Notes) -> None:
    from django.conf import settings
    from nats.aio.msg import Msg
    from nats.js.api import AckPolicy, ConsumerConfig

    from eventstore.client.broker import connected
    from eventstore.client.subscribing.pulling import pulling

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with connected(settings.NATS_URL, "witness") as connection:
        config = ConsumerConfig(name="witness", ack_policy=AckPolicy.NONE)
        await connection.js.add_consumer("ORDERS", config)
        async with pulling(connection, "ORDERS", "witness", 1_000) as puller:
            notes.ready()
            while not stop.is_set():
                messages: list[Msg] = await puller.take(1_000, 0.2)
                notes.note(*(message.metadata.sequence.stream for message in messages))


def projector(notes: Notes) -> None:
    """A query worker; sees the commits of its transactions."""
    from django.db import transaction

    from eventstore.client import Event
    from eventstore.client.connection import event_store
    from eventstore.client.subscriber import run
    from eventstore.client.subscription import Subscription
    from queries.models import DATABASE, Checkpoint, ParkedMessage
    from queries.projector import SUBSCRIPTION, OrderProjector

    class Witness(OrderProjector):
        def apply(self, events: Mapping[str, Sequence[Event]]) -> None:
            super().apply(events)
            seen = [event.position for history in events.values() for event in history]
            transaction.on_commit(lambda: notes.note(*seen), using=DATABASE)

    store = event_store()
    subscription = Subscription(
        name=SUBSCRIPTION,
        worker="witness",
        handler=Witness(store),
        store=store,
        database=DATABASE,
        checkpoints=Checkpoint,
        parked=ParkedMessage,
    )
    notes.ready()
    run(subscription)


def main(role: str, path: str, *rest: str) -> None:
    """Be a witness until SIGTERM."""
    django.setup()
    notes = Notes(Path(path))
    roles: dict[str, Any] = {"server": server, "listener": listener, "projector": projector}
    roles[role](notes, *map(int, rest))
    notes.write()


if __name__ == "__main__":
    main(*sys.argv[1:])
