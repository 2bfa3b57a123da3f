"""Items that threads ask for at the same time are done together, each with its own result."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from eventstore.client.batching import Batcher
from eventstore.client.errors import Overloaded


class Doubling:
    """Work that can be held up, and that remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.begun = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.begun.set()
        assert self.may_go_on.wait(10)
        if 13 in items:
            raise ValueError(13)
        return [2 * item for item in items]


def batcher(work: Doubling, **bounds: float) -> Batcher[int, int]:
    given = {"batch_weight": 100, "waiting_weight": 1000, "patience_seconds": 10.0, **bounds}
    return Batcher(work, **given)  # type: ignore[arg-type]


def held_up(work: Doubling, doing: Batcher[int, int], pool: ThreadPoolExecutor):
    """A first item that is being worked on until `may_go_on`."""
    work.may_go_on.clear()
    first = pool.submit(doing.do, 1)
    assert work.begun.wait(10)
    return first


def waiting(doing: Batcher[int, int], count: int) -> None:
    while len(doing._queue) < count:
        threading.Event().wait(0.001)


def test_a_lone_item_is_done_at_once() -> None:
    work = Doubling()
    assert batcher(work).do(21) == 42
    assert work.batches == [[21]]


def test_those_who_come_meanwhile_share_the_next_batch() -> None:
    work = Doubling()
    doing = batcher(work)
    with ThreadPoolExecutor(10) as pool:
        first = held_up(work, doing, pool)
        others = [pool.submit(doing.do, item) for item in range(2, 9)]
        waiting(doing, 7)
        work.may_go_on.set()
        assert first.result() == 2
        assert [other.result() for other in others] == [4, 6, 8, 10, 12, 14, 16]
    assert sorted(work.batches[1]) == [2, 3, 4, 5, 6, 7, 8]
    assert len(work.batches) == 2


def test_a_batch_is_bounded_by_weight_but_always_has_an_item() -> None:
    work = Doubling()
    doing = batcher(work, batch_weight=10)
    with ThreadPoolExecutor(10) as pool:
        first = held_up(work, doing, pool)
        others = [pool.submit(doing.do, item, 6) for item in (2, 3)]
        others.append(pool.submit(doing.do, 4, 60))
        waiting(doing, 3)
        work.may_go_on.set()
        first.result()
        assert [other.result() for other in others] == [4, 6, 8]
    assert [len(batch) for batch in work.batches] == [1, 1, 1, 1]


def test_what_the_work_raises_reaches_its_batch_and_no_other() -> None:
    work = Doubling()
    doing = batcher(work)
    with ThreadPoolExecutor(10) as pool:
        first = held_up(work, doing, pool)
        others = [pool.submit(doing.do, item) for item in (12, 13)]
        waiting(doing, 2)
        work.may_go_on.set()
        assert first.result() == 2
        for other in others:
            with pytest.raises(ValueError, match="13"):
                other.result()
    assert doing.do(3) == 6


def test_too_much_waiting_is_refused_at_once() -> None:
    work = Doubling()
    doing = batcher(work, waiting_weight=2)
    with ThreadPoolExecutor(10) as pool:
        first = held_up(work, doing, pool)
        others = [pool.submit(doing.do, item) for item in (2, 3)]
        waiting(doing, 2)
        with pytest.raises(Overloaded):
            doing.do(4)
        work.may_go_on.set()
        assert [each.result() for each in (first, *others)] == [2, 4, 6]


def test_an_item_that_waits_too_long_is_never_begun() -> None:
    work = Doubling()
    doing = batcher(work, patience_seconds=0.05)
    with ThreadPoolExecutor(10) as pool:
        first = held_up(work, doing, pool)
        with pytest.raises(Overloaded):
            doing.do(5)
        work.may_go_on.set()
        assert first.result() == 2
    assert doing.do(6) == 12
    assert work.batches == [[1], [6]]


def test_many_threads_get_each_their_own_result() -> None:
    work = Doubling()
    doing = batcher(work)
    with ThreadPoolExecutor(32) as pool:
        items = range(100, 3_100)
        assert list(pool.map(doing.do, items)) == [2 * item for item in items]
    assert sorted(item for batch in work.batches for item in batch) == list(items)


def test_a_crowd_is_not_kept_waiting() -> None:
    work = Doubling()
    doing = batcher(work, crowd=3)
    with ThreadPoolExecutor(10) as pool:
        first = held_up(work, doing, pool)
        others = [pool.submit(doing.do, item) for item in (2, 3)]
        waiting(doing, 2)
        assert len(work.batches) == 1
        others.append(pool.submit(doing.do, 4))
        while len(work.batches) < 2:
            threading.Event().wait(0.001)
        assert sorted(work.batches[1]) == [2, 3, 4]
        # Two are at work, so that another crowd waits.
        others += [pool.submit(doing.do, item) for item in (5, 6, 7, 8)]
        waiting(doing, 4)
        assert len(work.batches) == 2
        work.may_go_on.set()
        assert [each.result() for each in (first, *others)] == [2, 4, 6, 8, 10, 12, 14, 16]
    assert sorted(item for batch in work.batches for item in batch) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert doing.do(21) == 42


def test_a_second_batch_of_many_callers_is_no_small_one() -> None:
    work = Doubling()
    doing = batcher(work, crowd=2)
    with ThreadPoolExecutor(20) as pool:
        first = held_up(work, doing, pool)
        others = [pool.submit(doing.do, item) for item in (2, 3)]
        while len(work.batches) < 2:
            threading.Event().wait(0.001)
        others += [pool.submit(doing.do, 4) for _ in range(13)]
        waiting(doing, 13)
        work.may_go_on.set()
        assert [each.result() for each in (first, *others)] == [2, 4, 6, *[8] * 13]
        # So many callers were there a moment ago that four who wait are not worth a batch.
        del work.batches[:]
        work.begun.clear()
        first = held_up(work, doing, pool)
        others = [pool.submit(doing.do, item) for item in range(2, 6)]
        waiting(doing, 4)
        assert work.batches == [[1]]
        work.may_go_on.set()
        assert [each.result() for each in (first, *others)] == [2, 4, 6, 8, 10]


@pytest.mark.parametrize(("crowd", "limit"), [(None, 1), (1, 2), (5, 2)])
def test_never_more_batches_run_at_once_than_may(crowd: int | None, limit: int) -> None:
    mutex, running, most = threading.Lock(), 0, 0

    def work(items: Sequence[int]) -> list[int]:
        nonlocal running, most
        with mutex:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.0001)
        with mutex:
            running -= 1
        if len(items) % 5 == 0:
            raise ValueError(items)
        return list(items)

    doing = Batcher(work, batch_weight=7, waiting_weight=1000, patience_seconds=10, crowd=crowd)
    with ThreadPoolExecutor(32) as pool:
        done = [pool.submit(doing.do, item) for item in range(2_000)]
        assert all(each.exception() or each.result() == item for item, each in enumerate(done))
    assert most == limit
    assert (doing._at_work, doing._waiting, len(doing._queue)) == (0, 0, 0)
