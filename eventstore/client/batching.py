"""Gathers what threads or fibers ask for at the same moment, so that one call does it for all."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from eventstore.client import fibers
from eventstore.client.errors import Overloaded

# With two batches of this size under way a third gathers: none runs out of work, and no two small
# ones go where a large one would do.
CROWD_SHARE = 3 / 8
# Part of the callers that is forgotten with each batch, unless they come again.
FORGOTTEN = 16

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Does items in batches, without a thread of its own and without waiting for company.

    A caller that finds nobody at work does its item at once. Those who come meanwhile wait; when
    the work is done, the first of them does what has gathered, all in one go. A fiber waits until
    the other fibers of its thread do.

    Args:
        work: from items to their results, in the same order. What it raises, every caller of
            the batch gets.
        batch_weight: at most so much in one batch (but always one item).
        waiting_weight: above so much waiting, the next item is refused.
        patience_seconds: how long an item waits for its turn.
        crowd: so many waiting are reason enough to do a second batch beside the first, if they
            are three eighths of the callers at least; never more than two. None: never more
            than one.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        batch_weight: int,
        waiting_weight: int,
        patience_seconds: float,
        crowd: int | None = None,
    ) -> None:
        self._work = work
        self._crowd = crowd
        self._batch_weight = batch_weight
        self._waiting_weight = waiting_weight
        self._patience = patience_seconds
        self._mutex = threading.Lock()
        self._queue: deque[_Entry[Item, Result]] = deque()
        self._waiting = 0
        self._at_work = 0
        # Somebody was told to do a batch and has not taken it yet.
        self._taking = False
        # In here now, and the most of them lately.
        self._inside = 0
        self._callers = 0

    def do(self, item: Item, weight: int = 1) -> Result:
        """The item's result, or what the work raised.

        Raises:
            Overloaded: too much is waiting, or it waited too long; the item was not begun.
        """
        entry: _Entry[Item, Result] = _Entry(item, weight)
        if (company := fibers.current()) is not None:
            company.gather(self._do_gathered, entry)
            return entry.outcome()
        with self._mutex:
            if self._queue and self._waiting + weight > self._waiting_weight:
                raise Overloaded
            self._queue.append(entry)
            self._waiting += weight
            self._inside += 1
            self._callers = max(self._callers, self._inside)
            self._let_begin(entry)
        if entry.leads or self._leads_after_waiting(entry):
            self._lead(entry)
        return entry.outcome()

    def _do_gathered(self, entries: "Sequence[_Entry[Item, Result]]") -> None:
        """Do what fibers ask for, in as few batches as its weight allows."""
        left = deque(entries)
        while left:
            batch, _ = self._fill([left.popleft()], left)
            self._work_for(batch)

    def _leads_after_waiting(self, entry: "_Entry[Item, Result]") -> bool:
        """Wait until the item is done (False) or its caller is to do the next batch (True)."""
        if not entry.wait(self._patience):
            with self._mutex:
                # Woken in the last moment, or in a batch by now: then the end is near.
                if entry in self._queue and not entry.leads:
                    self._queue.remove(entry)
                    self._waiting -= entry.weight
                    self._inside -= 1
                    raise Overloaded
            entry.wait()
        return entry.leads

    def _lead(self, leader: "_Entry[Item, Result]") -> None:
        """Do one batch and hand over to whoever waits by then."""
        with self._mutex:
            batch = self._take(leader)
        self._work_for(batch)
        with self._mutex:
            self._at_work -= 1
            self._inside -= len(batch)
            remembered = self._callers - self._callers // FORGOTTEN - 1
            self._callers = max(self._inside, remembered)
            following = self._queue[0] if self._queue and not self._taking else None
            if following is not None:
                self._let_begin(following)
        # The next batch begins before this one's callers are told.
        if following is not None and following.leads:
            following.wake()
        for entry in batch:
            entry.wake()

    def _work_for(self, batch: "Sequence[_Entry[Item, Result]]") -> None:
        """Give each its result, or what the work raised."""
        try:
            results = self._work([entry.item for entry in batch])
            for entry, result in zip(batch, results, strict=True):
                entry.results.append(result)
        except BaseException as error:
            for entry in batch:
                entry.error = error

    def _let_begin(self, entry: "_Entry[Item, Result]") -> None:
        """Have the caller do a batch, if one more is to be done now."""
        if self._at_work == 0 or self._is_crowded():
            entry.leads = self._taking = True
            self._at_work += 1

    def _is_crowded(self) -> bool:
        # Whoever waits is already part of a batch that is about to be taken.
        if self._crowd is None or self._at_work > 1 or self._taking:
            return False
        return len(self._queue) >= max(self._crowd, CROWD_SHARE * self._callers)

    def _take(self, leader: "_Entry[Item, Result]") -> "list[_Entry[Item, Result]]":
        self._taking = False
        self._queue.remove(leader)
        batch, weight = self._fill([leader], self._queue)
        self._waiting -= weight
        return batch

    def _fill(
        self, batch: "list[_Entry[Item, Result]]", queue: "deque[_Entry[Item, Result]]"
    ) -> "tuple[list[_Entry[Item, Result]], int]":
        """The batch with what may join it from the queue, and its weight."""
        weight = batch[0].weight
        while queue and weight + queue[0].weight <= self._batch_weight:
            batch.append(queue.popleft())
            weight += batch[-1].weight
        return batch, weight


class _Entry(Generic[Item, Result]):
    """An item on its way, and the caller who waits for it."""

    def __init__(self, item: Item, weight: int) -> None:
        self.item = item
        self.weight = weight
        # Whether the caller is to do a batch.
        self.leads = False
        self.results: list[Result] = []
        self.error: BaseException | None = None
        # A bare lock that is held until the caller is to go on: cheaper than an Event.
        self._asleep = threading.Lock()
        self._asleep.acquire()

    def wait(self, seconds: float = -1) -> bool:
        """Sleep until woken; False when the time is up."""
        return self._asleep.acquire(timeout=seconds)

    def wake(self) -> None:
        """Let the caller go on."""
        if self._asleep.locked():
            self._asleep.release()

    def outcome(self) -> Result:
        if self.error is not None:
            raise self.error
        return self.results[0]
