"""A database that takes a question and never answers: every command that reads the log cuts it."""

import threading
from collections.abc import Callable
from random import Random

import pytest

from eventstore.client import StreamHead
from eventstore.management.commands import run_eventstore, run_publisher
from eventstore.store import SqlEventStore
from eventstore.watching import Activity, DatabaseWatch
from tests.chaos.proxy import Fate
from tests.chaos.test_commit_in_doubt import Commits, proxied_postgres
from tests.contract import stores
from tests.together import eventually

pytestmark = pytest.mark.django_db(databases=["eventstore"], transaction=True)

Loop = Callable[[SqlEventStore, threading.Event], None]


def serve(store: SqlEventStore, stopping: threading.Event) -> None:
    server = run_eventstore._server(store, "127.0.0.1", 0)
    run_eventstore._serve(server, DatabaseWatch(store, []), Activity(), stopping)


@pytest.mark.parametrize(
    ("command", "loop"),
    [(run_eventstore, serve), (run_publisher, run_publisher._wait)],
    ids=["run_eventstore", "run_publisher"],
)
def test_a_command_cuts_a_connection_that_is_never_answered(
    command: object, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "LONGEST_SILENCE_SECONDS", 0.5)
    swallow = Commits(Random(1), 1.0, (Fate.SWALLOW,), left=1, marks=[b"FROM eventstore_stream"])
    stopping = threading.Event()
    heads: list[StreamHead] = []
    with stores.sql(), proxied_postgres(swallow, delay_seconds=600) as proxy:
        store = SqlEventStore()

        def read() -> None:
            heads.append(store.head())
            store.database.close_own()

        threads = [
            threading.Thread(target=read, daemon=True),
            threading.Thread(target=loop, args=(store, stopping), daemon=True),
        ]
        try:
            for thread in threads:
                thread.start()
            eventually(lambda: heads, timeout=20)
        finally:
            stopping.set()
            threads[1].join(10)
        assert proxy.fates[Fate.SWALLOW] == 1
