"""How the publisher reads the log: page by page, on one walk, which may have become old."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from eventstore.client import Event
from eventstore.client.memory import InMemoryEventStore
from eventstore.publishing import pages
from eventstore.publishing.pages import DamagedLog, PageReader
from tests.contract.new_events import new_event


class SnapshotStore(InMemoryEventStore):
    """A log whose walks see what was there when they began, as a page read ahead does."""

    def __init__(self) -> None:
        super().__init__()
        self.walks = 0
        self.missing = 0

    def read_stream(self, *args, **options) -> Iterator[Event]:
        self.walks += 1
        events = list(super().read_stream(*args, **options))
        return (event for event in events if event.position != self.missing)

    def grow(self, count: int) -> None:
        for _ in range(count):
            self.append([new_event("order-1")])


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> SnapshotStore:
    monkeypatch.setattr(pages, "PAGE_EVENTS", 10)
    return SnapshotStore()


@pytest.fixture
def reader(log: SnapshotStore) -> Iterator[PageReader]:
    with ThreadPoolExecutor(1) as thread:
        yield PageReader(log, "ORDERS", thread)


def read(reader: PageReader, after: int) -> list[int]:
    return [event.position for event in asyncio.run(reader.after(after))]


def is_read_ahead(reader: PageReader) -> None:
    """What the thread had to do is done."""
    reader._thread.submit(lambda: None).result(10)


def test_pages_that_follow_each_other_are_one_walk(log: SnapshotStore, reader: PageReader) -> None:
    log.grow(35)
    found = [read(reader, after) for after in (0, 10, 20, 30)]
    assert [len(page) for page in found] == [10, 10, 10, 5]
    assert [position for page in found for position in page] == list(range(1, 36))
    assert log.walks == 1


def test_a_walk_that_ended_before_the_log_grew_is_begun_anew(
    log: SnapshotStore, reader: PageReader
) -> None:
    log.grow(10)
    assert len(read(reader, 0)) == 10
    is_read_ahead(reader)
    log.grow(5)
    assert read(reader, 10) == list(range(11, 16))
    assert read(reader, 15) == []
    log.grow(1)
    assert read(reader, 15) == [16]


def test_a_page_from_elsewhere_is_another_walk(log: SnapshotStore, reader: PageReader) -> None:
    log.grow(30)
    assert read(reader, 0)[-1] == 10
    assert read(reader, 3) == list(range(4, 14))
    assert read(reader, 1)[0] == 2


def test_a_gap_is_damage_each_time_it_is_met(log: SnapshotStore, reader: PageReader) -> None:
    log.grow(20)
    log.missing = 15
    assert len(read(reader, 0)) == 10
    for _ in range(2):
        with pytest.raises(DamagedLog, match="after position 14 comes 16"):
            read(reader, 10)


def test_the_next_page_is_read_while_one_is_published(
    log: SnapshotStore, reader: PageReader
) -> None:
    log.grow(20)
    assert len(read(reader, 0)) == 10
    is_read_ahead(reader)
    log.missing = 15
    assert read(reader, 10) == list(range(11, 21))


def test_what_was_read_ahead_is_forgotten_when_another_walk_begins(
    log: SnapshotStore, reader: PageReader
) -> None:
    log.grow(20)
    assert len(read(reader, 0)) == 10
    is_read_ahead(reader)
    log.missing = 15
    reader.begin()
    with pytest.raises(DamagedLog):
        read(reader, 10)
