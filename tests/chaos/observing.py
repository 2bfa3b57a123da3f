"""Readers that look at a running system all the time, for what may never happen in between."""

import threading
from contextlib import closing, suppress

import psycopg

from eventstore.client import EventStoreError
from eventstore.client.events import Event
from eventstore.client.remote import RemoteEventStore
from orders_site.embedded.postgres import url as database_url
from tests.e2e.system import System


class Observer:
    """Follows the tail of the log through gRPC (I7) and the versions of order rows (I6)."""

    def __init__(self, system: System) -> None:
        self.seen: list[Event] = []
        self.backwards: list[str] = []
        self.looks = 0
        self._system = system
        self._versions: dict[str, int] = {}
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._follow, self._watch)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def check(self, log: list[Event]) -> None:
        """What was seen was the log, each event as soon as a later one; no row went back."""
        assert [e.hash for e in self.seen] == [e.hash for e in log[: len(self.seen)]]
        assert self.backwards == []
        assert self.looks > 0

    def _follow(self) -> None:
        address = f"127.0.0.1:{self._system.ports['EVENTSTORE']}"
        with closing(RemoteEventStore(address, timeout_seconds=2)) as store:
            while not self._stopping.wait(0.01):
                last = self.seen[-1].position if self.seen else 0
                with suppress(EventStoreError):
                    for event in store.read_stream(last + 1):
                        self.seen.append(event)

    def _watch(self) -> None:
        url = database_url(self._system.data_dir, "queries")
        while not self._stopping.is_set():
            with suppress(psycopg.Error):
                with psycopg.connect(url, autocommit=True, connect_timeout=2) as session:
                    self._look(session)

    def _look(self, session: psycopg.Connection) -> None:
        while not self._stopping.wait(0.05):
            found = session.execute("SELECT order_id, version FROM queries_orderrow").fetchall()
            self.looks += 1
            for order_id, version in found:
                if version < self._versions.get(order_id, 0):
                    self.backwards.append(f"{order_id}: {self._versions[order_id]}, {version}")
                self._versions[order_id] = version
