"""Functions that run side by side on one thread: where one has to wait, the others go on.

To wake a thread costs more than most of what a reaction does. Fibers (greenlets) are not woken:
what they ask for is gathered until all of them wait, and then done for all in one go.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

# How long a thread that ends waits for the others to do so.
CLOSE_SECONDS = 1.0

T = TypeVar("T")
Gathered = Callable[[Sequence[Any]], None]


class _Fiber(greenlet):
    def __init__(self, function: Callable[[], None], fibers: "Fibers[Any]") -> None:
        super().__init__(function)
        self.fibers = fibers


class Fibers(Generic[T]):
    """Runs functions as fibers of one thread, which is to make all calls.

    Args:
        threads: that do what fibers do `aside`.
        can_wait: whether the fiber that asks may let others go on; else it holds up the thread.
        before: called by a thread before it does something.
        at_end: called by each thread when it ends.
        on_news: called, by any thread, when a fiber could go on and nobody is reading `results`.
    """

    def __init__(
        self,
        threads: int,
        *,
        can_wait: Callable[[], bool] = lambda: True,
        before: Callable[[], object] = lambda: None,
        at_end: Callable[[], object] = lambda: None,
        on_news: Callable[[], object] = lambda: None,
    ) -> None:
        self._threads = threads
        self._can_wait = can_wait
        self._before = before
        self._at_end = at_end
        self._on_news = on_news
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="aside")
        self._reading = False
        self._living: set[greenlet] = set()
        self._ready: deque[greenlet] = deque()
        self._results: deque[T] = deque()
        # By what is to be done with it: what fibers ask for, and who asks.
        self._asked: dict[Gathered, list[tuple[greenlet, Any]]] = {}
        self._aside = 0
        self._back: SimpleQueue[greenlet] = SimpleQueue()

    @property
    def has_news(self) -> bool:
        """Whether a fiber could go on, or a result is there."""
        return bool(self._results or self._ready or self._asked) or not self._back.empty()

    def start(self, function: Callable[[], Iterator[T]]) -> None:
        """Make a fiber of a function; it begins when `results` are read."""

        def collect() -> None:
            for result in function():
                self._results.append(result)

        fiber = _Fiber(collect, self)
        self._living.add(fiber)
        self._ready.append(fiber)

    def results(self, patience_seconds: float | None = None) -> Generator[T, None, None]:
        """What the functions yield, as it comes, until all have ended; raises what one raises.

        Whoever breaks off closes the iterator; the next call goes on.

        Args:
            patience_seconds: so long nothing came of what is done aside, then leave it to the next
                call; unless all threads are busy. None: wait for all.
        """
        self._reading = True
        try:
            while self._results or self._make_ready(patience_seconds):
                if self._results:
                    yield self._results.popleft()
                else:
                    self._let_go_on(self._ready.popleft())
        finally:
            self._reading = False
        # It may have come between the last look and now.
        if self.has_news:
            self._on_news()

    def gather(self, do: Gathered, item: Any) -> None:
        """Wait until `do` was called with the item, and with what others ask it for meanwhile."""
        self._asked.setdefault(do, []).append((getcurrent(), item))
        _wait()

    def aside(self, function: Callable[[], Any]) -> Any:
        """See `aside`."""
        fiber = getcurrent()

        def prepared() -> Any:
            self._before()
            return function()

        def come_back(_: object) -> None:
            self._back.put(fiber)
            if not self._reading:
                self._on_news()

        future = self._pool.submit(prepared)
        self._aside += 1
        future.add_done_callback(come_back)
        _wait()
        return future.result()

    def can_wait(self) -> bool:
        """Whether the caller is one of the fibers, and may let others go on."""
        return getcurrent() in self._living and self._can_wait()

    def close(self) -> None:
        """End the fibers where they wait, and the threads; waits for what is done aside."""
        while self._living:
            self._living.pop().throw(GreenletExit)
        together = threading.Barrier(self._threads)

        def last_words() -> None:
            # Each thread gets one of these, since none ends before all have begun.
            with contextlib.suppress(threading.BrokenBarrierError):
                together.wait(CLOSE_SECONDS)
            self._at_end()

        for _ in range(self._threads):
            self._pool.submit(last_words)
        self._pool.shutdown()

    def _let_go_on(self, fiber: greenlet) -> None:
        try:
            fiber.switch()
        finally:
            if fiber.dead:
                self._living.discard(fiber)

    def _make_ready(self, patience_seconds: float | None) -> bool:
        """Have a fiber that can go on; False when there is none, or not so soon."""
        while not self._back.empty():
            self._welcome(None)
        if not self._ready and self._asked:
            do = next(iter(self._asked))
            asked = self._asked.pop(do)
            self._ready.extend(fiber for fiber, _ in asked)
            do([item for _, item in asked])
        if not self._ready and self._aside:
            self._welcome(patience_seconds if self._aside < self._threads else None)
        return bool(self._ready)

    def _welcome(self, patience_seconds: float | None) -> None:
        with contextlib.suppress(Empty):
            self._ready.append(self._back.get(timeout=patience_seconds))
            self._aside -= 1


def current() -> Fibers[Any] | None:
    """The fibers of which the caller is one; None if it is none, or can't let others go on."""
    fiber = getcurrent()
    return fiber.fibers if isinstance(fiber, _Fiber) and fiber.fibers.can_wait() else None


def aside(function: Callable[[], T]) -> T:
    """The function's result; in a fiber, a thread runs it, so that the other fibers go on.

    For whatever may take long: a call of another system, a pause, a statement of its own. Raises
    what it raises.
    """
    fibers = current()
    if fibers is None:
        return function()
    result: T = fibers.aside(function)
    return result


def _wait() -> None:
    """Leave the thread to whoever reads the results."""
    reader = getcurrent().parent
    assert reader is not None
    reader.switch()
