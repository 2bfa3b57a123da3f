"""Concurrent callers: threads that call in a closed loop, or at a given rate."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from benchmarks.figures import Sample

# Opened by its thread before the clock starts: connects, and gives the call to be repeated.
Caller = Callable[[], AbstractContextManager[Callable[[], object]]]


def closed_loop(callers: int, seconds: float, caller: Caller) -> Sample:
    """Have so many threads call again and again for so long; what fails, fails the run."""
    crew = _Crew(callers, caller)

    def repeat(call: Callable[[], object]) -> list[float]:
        latencies: list[float] = []
        end = crew.began + seconds
        before = time.monotonic()
        while before < end:
            call()
            after = time.monotonic()
            latencies.append(after - before)
            before = after
        return latencies

    return crew.run(repeat)


def paced(callers: int, seconds: float, per_second: float, caller: Caller) -> Sample:
    """Call at a rate that does not wait for answers, as far as so many threads can keep it up.

    A latency counts from when the call was due, not from when a thread got to it.
    """
    crew = _Crew(callers, caller)
    total = int(seconds * per_second)
    turns = iter(range(total))
    mutex = threading.Lock()

    def keep_up(call: Callable[[], object]) -> list[float]:
        latencies: list[float] = []
        while True:
            with mutex:
                turn = next(turns, None)
            if turn is None:
                return latencies
            due = crew.began + turn / per_second
            if (early := due - time.monotonic()) > 0:
                time.sleep(early)
            call()
            latencies.append(time.monotonic() - due)

    return crew.run(keep_up)


class _Crew:
    """Threads that start together once each of them is connected."""

    def __init__(self, callers: int, caller: Caller) -> None:
        self.began = 0.0
        self._caller = caller
        self._ended = 0.0
        self._latencies: list[float] = []
        self._failures: list[BaseException] = []
        self._mutex = threading.Lock()
        self._ready = threading.Barrier(callers, action=self._begin)
        self._callers = callers

    def run(self, work: Callable[[Callable[[], object]], list[float]]) -> Sample:
        threads = [threading.Thread(target=self._one, args=[work]) for _ in range(self._callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failures:
            raise self._failures[0]
        return Sample(len(self._latencies), self._ended - self.began, self._latencies)

    def _begin(self) -> None:
        self.began = time.monotonic()

    def _one(self, work: Callable[[Callable[[], object]], list[float]]) -> None:
        try:
            with self._caller() as call:
                self._ready.wait(timeout=60)
                latencies = work(call)
                ended = time.monotonic()
            with self._mutex:
                self._latencies += latencies
                self._ended = max(self._ended, ended)
        except BaseException as failure:
            self._failures.insert(
                0 if not isinstance(failure, threading.BrokenBarrierError) else len(self._failures),
                failure,
            )
            self._ready.abort()
