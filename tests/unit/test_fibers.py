"""Fibers of one thread: they wait for each other's company, and never for each other's work."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from eventstore.client.batching import Batcher
from eventstore.client.fibers import CLOSE_SECONDS, Fibers, aside, current

Batches = list[list[int]]


@pytest.fixture
def fibers() -> Iterator[Fibers[Any]]:
    fibers: Fibers[Any] = Fibers(4)
    yield fibers
    fibers.close()


def run(fibers: Fibers[Any], functions: Iterable[Callable[[], Iterator[Any]]]) -> Iterator[Any]:
    for function in functions:
        fibers.start(function)
    return fibers.results()


@pytest.fixture
def batches() -> Batches:
    return []


def doubling(batches: Batches, weight: int = 1_000) -> Batcher[int, int]:
    def work(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        return [2 * item for item in items]

    return Batcher(work, batch_weight=weight, waiting_weight=10_000, patience_seconds=10)


def asking(*calls: Callable[[], int]) -> Callable[[], Iterator[int]]:
    def function() -> Iterator[int]:
        for call in calls:
            yield call()

    return function


def test_what_fibers_ask_for_is_one_batch_and_each_gets_its_own(
    fibers: Fibers[Any], batches: Batches
) -> None:
    batcher = doubling(batches)
    functions = [asking(partial(batcher.do, n), partial(batcher.do, 10 + n)) for n in range(5)]
    assert sorted(run(fibers, functions)) == [0, 2, 4, 6, 8, 20, 22, 24, 26, 28]
    assert batches == [[0, 1, 2, 3, 4], [10, 11, 12, 13, 14]]


def test_a_batch_of_fibers_keeps_to_the_weight(fibers: Fibers[Any], batches: Batches) -> None:
    batcher = doubling(batches, weight=2)
    functions = [asking(partial(batcher.do, n)) for n in range(5)]
    assert sorted(run(fibers, functions)) == [0, 2, 4, 6, 8]
    assert batches == [[0, 1], [2, 3], [4]]


def test_an_error_of_a_batch_is_each_callers_own(fibers: Fibers[Any]) -> None:
    def work(items: Sequence[int]) -> list[int]:
        raise LookupError(str(sorted(items)))

    batcher: Batcher[int, int] = Batcher(
        work, batch_weight=10, waiting_weight=10, patience_seconds=10
    )

    def function(number: int) -> Iterator[str]:
        try:
            batcher.do(number)
        except LookupError as error:
            yield f"{number}: {error}"

    found = sorted(run(fibers, [partial(function, n) for n in range(2)]))
    assert found == ["0: [0, 1]", "1: [0, 1]"]


def test_what_is_done_aside_holds_up_no_other_and_results_come_at_once(
    fibers: Fibers[Any], batches: Batches
) -> None:
    batcher, others_are_done = doubling(batches), threading.Event()
    slow = asking(lambda: aside(lambda: others_are_done.wait(20) and 7))
    results = run(fibers, [slow, *[asking(partial(batcher.do, n)) for n in range(3)]])
    assert sorted(next(results) for _ in range(3)) == [0, 2, 4]
    others_are_done.set()
    assert list(results) == [7]


def test_things_are_done_aside_at_the_same_time_in_other_threads(fibers: Fibers[Any]) -> None:
    both = threading.Barrier(2, timeout=20)

    def meet() -> int:
        both.wait()
        return threading.get_ident()

    threads = set(run(fibers, [asking(lambda: aside(meet))] * 2))
    assert len(threads) == 2
    assert threading.get_ident() not in threads


def test_what_is_raised_aside_reaches_the_fiber(fibers: Fibers[Any]) -> None:
    def function() -> Iterator[str]:
        with pytest.raises(ZeroDivisionError):
            aside(lambda: 1 // 0)
        yield "caught"

    assert list(run(fibers, [function, function])) == ["caught", "caught"]


def test_outside_of_fibers_nothing_is_put_aside() -> None:
    assert current() is None
    assert aside(threading.get_ident) == threading.get_ident()


def test_in_a_thread_aside_there_are_no_fibers(fibers: Fibers[Any]) -> None:
    assert list(run(fibers, [asking(lambda: aside(lambda: int(current() is None)))])) == [1]


def test_a_fiber_that_must_not_wait_is_done_alone(batches: Batches) -> None:
    batcher, fibers = doubling(batches), Fibers(1, can_wait=lambda: False)
    assert sorted(run(fibers, [asking(partial(batcher.do, n)) for n in range(2)])) == [0, 2]
    assert batches == [[0], [1]]
    fibers.close()


def test_threads_are_made_ready_before_and_told_at_the_end() -> None:
    told: list[str] = []
    fibers = Fibers(1, before=lambda: told.append("before"), at_end=lambda: told.append("the end"))
    assert list(run(fibers, [asking(lambda: aside(lambda: len(told)))])) == [1]
    fibers.close()
    fibers._pool.shutdown(wait=True)
    assert told == ["before", "the end"]


def test_what_takes_long_aside_is_left_to_a_later_call(batches: Batches) -> None:
    batcher, may_come, news = doubling(batches), threading.Event(), threading.Event()
    fibers: Fibers[int] = Fibers(2, on_news=news.set)
    fibers.start(asking(lambda: aside(lambda: may_come.wait(20) and 7)))
    fibers.start(asking(partial(batcher.do, 1)))
    assert list(fibers.results(patience_seconds=0.01)) == [2]
    fibers.start(asking(partial(batcher.do, 2)))
    assert list(fibers.results(patience_seconds=0.01)) == [4]
    assert not fibers.has_news
    assert not news.is_set()
    may_come.set()
    assert news.wait(20)
    assert fibers.has_news
    assert list(fibers.results(patience_seconds=0.01)) == [7]
    assert list(fibers.results()) == []
    fibers.close()


def test_when_all_threads_are_busy_it_waits_for_one() -> None:
    fibers: Fibers[int] = Fibers(2)
    may_come = threading.Event()
    for _ in range(2):
        fibers.start(asking(lambda: aside(lambda: may_come.wait(20) and 7)))
    later = threading.Timer(0.2, may_come.set)
    later.start()
    assert next(fibers.results(patience_seconds=0.01)) == 7
    later.join()
    fibers.close()


def test_at_the_end_fibers_end_where_they_wait() -> None:
    fibers: Fibers[int] = Fibers(2)
    may_come, ended = threading.Event(), []

    def waiting() -> Iterator[int]:
        try:
            yield aside(lambda: may_come.wait(20) and 1)
        finally:
            ended.append(threading.get_ident())

    fibers.start(waiting)
    assert list(fibers.results(patience_seconds=0.01)) == []
    fibers.close()
    assert ended == [threading.get_ident()]
    may_come.set()


def test_what_a_function_raises_is_raised_and_the_others_go_on_in_the_next_call(
    fibers: Fibers[Any], batches: Batches
) -> None:
    batcher = doubling(batches)
    fibers.start(asking(lambda: {}[1]))
    fibers.start(asking(partial(batcher.do, 1)))
    with pytest.raises(KeyError):
        list(fibers.results())
    assert list(fibers.results()) == [2]


def test_a_reader_that_breaks_off_disturbs_no_later_one_whenever_it_is_cleared_away(
    fibers: Fibers[Any], batches: Batches
) -> None:
    batcher = doubling(batches)
    fibers.start(asking(lambda: 1, lambda: 2))
    broken_off = fibers.results()
    assert next(broken_off) == 1
    fibers.start(asking(lambda: aside(broken_off.close), partial(batcher.do, 3)))
    assert list(fibers.results()) == [2, None, 6]


def test_what_was_there_when_a_reader_broke_off_comes_to_the_next(fibers: Fibers[Any]) -> None:
    fibers.start(asking(lambda: 1, lambda: 2))
    first = fibers.results()
    assert next(first) == 1
    first.close()
    assert fibers.has_news
    assert list(fibers.results()) == [2]


def test_fibers_go_on_when_what_they_asked_for_failed_as_a_whole(fibers: Fibers[Any]) -> None:
    def fail(items: Sequence[Any]) -> None:
        raise MemoryError

    def function() -> Iterator[str]:
        company = current()
        assert company is not None
        company.gather(fail, 1)
        yield "on"

    fibers.start(function)
    with pytest.raises(MemoryError):
        list(fibers.results())
    assert list(fibers.results()) == ["on"]


def test_what_an_ended_fiber_asks_for_in_its_last_words_is_done_at_once(batches: Batches) -> None:
    batcher = doubling(batches)
    fibers: Fibers[int] = Fibers(2)
    may_come = threading.Event()

    def waiting() -> Iterator[int]:
        try:
            yield aside(lambda: may_come.wait(20) and 1)
        finally:
            batcher.do(aside(lambda: 7))

    fibers.start(waiting)
    assert list(fibers.results(patience_seconds=0.01)) == []
    threading.Timer(0.1, may_come.set).start()
    fibers.close()
    assert batches == [[7]]


def test_closing_waits_for_what_is_done_aside_and_each_thread_has_its_last_words() -> None:
    told: list[int] = []
    fibers: Fibers[Any] = Fibers(2, at_end=lambda: told.append(threading.get_ident()))
    may_come, done = threading.Event(), threading.Event()

    def hang() -> None:
        may_come.wait(20)
        done.set()

    fibers.start(asking(lambda: aside(hang)))
    assert list(fibers.results(patience_seconds=0.01)) == []
    later = threading.Timer(1.5 * CLOSE_SECONDS, may_come.set)
    later.start()
    fibers.close()
    assert done.is_set()
    assert len(told) == 2
