"""The event store's server around a store that keeps nothing: what gRPC alone would allow.

`python -m benchmarks.wire_alone PORT`.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from itertools import count
from typing import cast
from uuid import UUID

import django

from eventstore.client.events import NewEvent, StreamHead
from eventstore.client.port import Append, Appended


class KeepsNothing:
    """Answers every append at once, as if it had been the first of its aggregate."""

    def __init__(self) -> None:
        self._positions = count(1)

    def append(self, events: Sequence[NewEvent], expected_version: int | None = None) -> Appended:
        """As `EventStore.append`, for one event."""
        return Appended(versions=(1,), positions=(next(self._positions),))

    def append_batch(self, appends: Sequence[Append]) -> list[Appended]:
        """As `EventStore.append_batch`, for appends of one event each."""
        return [self.append(append.events) for append in appends]

    def head(self, stream: str) -> StreamHead:
        """As `EventStore.head`, of a stream that stays empty."""
        return StreamHead(stream=stream, log_id=UUID(int=0), position=0, hash=b"")


def main() -> None:
    """Serve until SIGTERM."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    django.setup()
    from eventstore.server import EventStoreServer
    from eventstore.store import SqlEventStore

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    store = cast(SqlEventStore, KeepsNothing())
    server = EventStoreServer(store, "127.0.0.1", int(sys.argv[1]))
    server.start()
    server.set_serving(True)
    stop.wait()


if __name__ == "__main__":
    main()
