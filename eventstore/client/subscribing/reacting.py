"""How a reactor's notices are answered: each with the event it tells of, read from the log."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

from django.db import close_old_connections, connections

from eventstore.client.errors import RetryLater
from eventstore.client.events import Event
from eventstore.client.models import ParkedMessage
from eventstore.client.outages import is_outage, run_through_conflicts
from eventstore.client.subscribing.delivery import Done, Job, Later, Verdict
from eventstore.client.subscribing.parking import Parking
from eventstore.client.subscribing.prefetched import PrefetchedEventStore
from eventstore.client.subscription import Reactor, Subscription

MAX_SUSPECTS = 1_000
CLOSE_SECONDS = 1.0

Histories = Mapping[str, list[Event]]
Group = Sequence[tuple[Job, Event]]


@dataclass(frozen=True)
class _Reacted:
    """How it went with one job; `error` is what the reaction raised."""

    job: Job
    cause: Event
    error: Exception | None


class Reacting:
    """The work of a subscription whose handler is a reactor.

    Reactions to different aggregates run side by side, so that one that waits for somebody (a
    payment gateway) holds up no other; what they append at the same time shares a call.

    Args:
        stopping: asked between two messages; what is left then is given back.
        threads: that run reactions.
    """

    def __init__(
        self,
        subscription: Subscription,
        reactor: Reactor,
        parking: Parking,
        *,
        stopping: Callable[[], bool],
        threads: int,
    ) -> None:
        self.events = 0
        self._store = subscription.store
        self._reactions = reactor.reactions
        self._parking = parking
        self._stopping = stopping
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reaction")
        # Sequences of messages that an outage hit. They are worked on last, so that what is out
        # for one message only (a gateway that knows nothing of it yet) holds up no other.
        self._suspects: set[int] = set()
        self._read_at = 0.0
        # How many outages there were, and of how many a thread knows: what one found dead is dead
        # for those that rested meanwhile.
        self._outages = 0
        self._own = threading.local()

    def take(self, jobs: Sequence[Job], failing: Sequence[ParkedMessage]) -> None:
        """React to each notice and settle it; an outage is raised, the rest stays unsettled."""
        known = []
        for job in jobs:
            if job.notice.event_type in self._reactions:
                known.append(job)
            else:
                job.settle(Done())
        histories = self._histories(known)
        rows = {(row.aggregate_id, row.from_version): row for row in failing}
        work: dict[str, list[tuple[Job, Event]]] = {}
        for job in sorted(known, key=lambda job: job.delivery.sequence in self._suspects):
            if (cause := self._cause(job, histories)) is not None:
                work.setdefault(cause.aggregate_id, []).append((job, cause))
        outage: Exception | None = None
        for each in self._run(list(work.values()), histories):
            key = (each.cause.aggregate_id, each.cause.version)
            if each.error is not None and is_outage(each.error):
                self._outages += 1
                self._suspect(each.job)
                outage = outage or each.error
            else:
                each.job.settle(self._verdict(each, rows.get(key)))
        if outage is not None:
            raise outage

    def catch_up(self, aggregate_id: str, from_version: int) -> None:
        """React to the aggregate's events from a version on; raises what stops it."""
        for event in self._store.read_many([(aggregate_id, from_version)]):
            self.catch_up_with(event)

    def catch_up_with(self, event: Event) -> None:
        """React to one event."""
        if self._react(event, []):
            self.events += 1

    def close(self) -> None:
        """End the threads, with their database connections."""
        together = threading.Barrier(self._threads)

        def last_words() -> None:
            # Each thread gets one of these, since none ends before all have begun.
            try:
                together.wait(CLOSE_SECONDS)
            except threading.BrokenBarrierError:
                return
            connections.close_all()

        for _ in range(self._threads):
            self._pool.submit(last_words)
        self._pool.shutdown(wait=False)

    def _histories(self, jobs: Sequence[Job]) -> Histories:
        """The whole history of each aggregate, read in one go."""
        self._read_at = time.monotonic()
        wanted = sorted({job.notice.aggregate_id for job in jobs})
        histories: dict[str, list[Event]] = {id_: [] for id_ in wanted}
        if wanted:
            for event in self._store.read_many([(id_, 1) for id_ in wanted]):
                histories[event.aggregate_id].append(event)
        return histories

    def _cause(self, job: Job, histories: Histories) -> Event | None:
        """The event that the notice tells of; a notice that lies is parked and settled."""
        notice = job.notice
        history = histories[notice.aggregate_id]
        if not 1 <= notice.version <= len(history):
            problem = "the log has no such event"
        else:
            cause = history[notice.version - 1]
            told = (notice.event_id, notice.event_type)
            if told == (cause.event_id, cause.event_type):
                return cause
            problem = "the log has another event there"
        self._parking.bad_notice(job.delivery, problem)
        job.settle(Done())
        return None

    def _run(self, work: Sequence[Group], histories: Histories) -> Iterator[_Reacted]:
        """Run the reactions to each aggregate one after another, different aggregates at once."""
        if len(work) == 1 or self._threads == 1:
            for group in work:
                yield from self._react_to_all(group, histories)
            return
        left = deque(work)
        reacted: SimpleQueue[_Reacted | None] = SimpleQueue()

        def react() -> None:
            try:
                while (group := _pop(left)) is not None:
                    for each in self._react_to_all(group, histories):
                        reacted.put(each)
            finally:
                reacted.put(None)

        running = min(self._threads, len(work))
        for _ in range(running):
            self._pool.submit(react)
        while running:
            if (each := reacted.get()) is None:
                running -= 1
            else:
                yield each

    def _react_to_all(self, group: Group, histories: Histories) -> Iterator[_Reacted]:
        if getattr(self._own, "outages", 0) != self._outages:
            self._own.outages = self._outages
            close_old_connections()
        for job, cause in group:
            if self._stopping():
                return
            error: Exception | None = None
            try:
                self._react(cause, histories[cause.aggregate_id])
            except Exception as raised:
                error = raised
                # A connection that was lost is opened anew by the next reaction.
                close_old_connections()
            yield _Reacted(job, cause, error)

    def _react(self, cause: Event, history: list[Event]) -> bool:
        reaction = self._reactions.get(cause.event_type)
        if reaction is None:
            return False
        store = PrefetchedEventStore(self._store, history, self._read_at)
        run_through_conflicts(lambda: reaction(cause, store=store))
        return True

    def _verdict(self, reacted: _Reacted, row: ParkedMessage | None) -> Verdict:
        cause, error = reacted.cause, reacted.error
        if isinstance(error, RetryLater):
            return Later(error.delay_seconds)
        if error is not None:
            return self._parking.failed(cause.aggregate_id, cause.version, cause, error)
        self.events += 1
        self._suspects.discard(reacted.job.delivery.sequence)
        if row is not None:
            self._parking.resolve(row)
        return Done()

    def _suspect(self, job: Job) -> None:
        if len(self._suspects) >= MAX_SUSPECTS:
            self._suspects.clear()
        self._suspects.add(job.delivery.sequence)


def _pop(groups: deque[Group]) -> Group | None:
    try:
        return groups.popleft()
    except IndexError:
        return None
