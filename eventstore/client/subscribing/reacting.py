"""How a reactor's notices are answered: each with the event it tells of, read from the log."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.db import close_old_connections, connections

from eventstore.client.errors import RetryLater, TooManyEvents
from eventstore.client.events import Event
from eventstore.client.fibers import Fibers
from eventstore.client.models import ParkedMessage
from eventstore.client.outages import is_outage, run_through_conflicts
from eventstore.client.subscribing.delivery import Delivery, Done, Job, Later, Verdict
from eventstore.client.subscribing.parking import Parking
from eventstore.client.subscribing.prefetched import PrefetchedEventStore
from eventstore.client.subscription import Reactor, Subscription

MAX_SUSPECTS = 1_000

# What is done aside and takes longer than this holds up no next fetch.
HOLD_SECONDS = 0.05

Histories = Mapping[str, list[Event]]


@dataclass(frozen=True)
class _Task:
    """An event to react to, and the row of its earlier failure."""

    cause: Event
    row: ParkedMessage | None


# And what the reaction to it raised.
_Reacted = tuple[_Task, Exception | None]


class Reacting:
    """The work of a subscription whose handler is a reactor.

    Reactions to different aggregates are fibers of one thread, so that one that waits for somebody
    (a payment gateway, `aside`) holds up no other; what they append or write shares a call.

    Args:
        stopping: asked between two messages; what is left then is given back.
        threads: that do what reactions do aside.
        longest: events of an aggregate that reactions take on; one that has more is parked.
        on_news: called, by any thread, when an unfinished reaction could go on.
    """

    def __init__(
        self,
        subscription: Subscription,
        reactor: Reactor,
        parking: Parking,
        *,
        stopping: Callable[[], bool],
        threads: int,
        longest: int,
        on_news: Callable[[], object] = lambda: None,
    ) -> None:
        self.events = 0
        self._store = subscription.store
        self._reactions = reactor.reactions
        self._parking = parking
        self._stopping = stopping
        self._longest = longest
        self._fibers: Fibers[_Reacted] = Fibers(
            threads,
            can_wait=_outside_of_transactions,
            before=close_old_connections,
            at_end=connections.close_all,
            on_news=on_news,
        )
        # Events that an outage hit. They are worked on last, so that what is out for one message
        # only (a gateway that knows nothing of it yet) holds up no other.
        self._suspects: set[UUID] = set()
        # By the event that is reacted to, the messages that tell of it: one may be delivered again
        # meanwhile, on a new connection.
        self._unfinished: dict[UUID, list[Job]] = {}

    @property
    def unfinished(self) -> Collection[Delivery]:
        """The messages that were taken and are not settled yet; any thread may ask."""
        return {job.delivery for jobs in list(self._unfinished.values()) for job in jobs}

    @property
    def has_news(self) -> bool:
        """Whether a reaction that was left unfinished could go on."""
        return self._fibers.has_news

    def take(self, jobs: Sequence[Job], failing: Sequence[ParkedMessage]) -> None:
        """Have each notice reacted to when it is time to `go_on`; settle those that need no
        reaction.
        """
        known = []
        for job in jobs:
            if job.notice.event_type in self._reactions:
                known.append(job)
            else:
                job.settle(Done())
        read_at = time.monotonic()
        histories = self._histories({job.notice.aggregate_id for job in known})
        known = self._not_too_long(known, histories)
        rows = {(row.aggregate_id, row.from_version): row for row in failing}
        known.sort(key=lambda job: job.notice.event_id in self._suspects)
        causes = [self._cause(job, histories) for job in known]
        # From here on nothing fails: what is unfinished has a fiber.
        work: dict[str, list[_Task]] = {}
        for job, cause in zip(known, causes, strict=True):
            if cause is None:
                continue
            if cause.event_id not in self._unfinished:
                row = rows.get((cause.aggregate_id, cause.version))
                work.setdefault(cause.aggregate_id, []).append(_Task(cause, row))
            self._unfinished.setdefault(cause.event_id, []).append(job)
        for id_, tasks in work.items():
            self._fibers.start(partial(self._react_to_all, tasks, histories[id_], read_at))

    def go_on(self, *, whole: bool) -> None:
        """React, and settle each notice; an outage is raised, the rest stays unsettled.

        What waits for long for somebody else is left `unfinished`, and comes to its end in the next
        calls; unless the `whole` is to be done, or the worker is to stop: then nothing more is
        begun, and what has begun is finished.
        """
        outage: Exception | None = None
        patience = None if whole or self._stopping() else HOLD_SECONDS
        with contextlib.closing(self._fibers.results(patience)) as results:
            for task, error in results:
                try:
                    self._settle(task, error)
                except Exception as problem:
                    if not is_outage(problem):
                        raise
                    outage = outage or problem
        if outage is not None:
            raise outage

    def catch_up(self, aggregate_id: str, from_version: int) -> None:
        """React to the aggregate's events from a version on; raises what stops it."""
        history = self._histories([aggregate_id])[aggregate_id]
        if len(history) > self._longest:
            raise self._too_long()
        for event in history[from_version - 1 :]:
            self.catch_up_with(event)

    def catch_up_with(self, event: Event) -> None:
        """React to one event."""
        if self._react(event, [], 0.0):
            self.events += 1

    def close(self) -> None:
        """End what is unfinished where it waits, and the threads with their connections."""
        self._fibers.close()

    def _histories(self, aggregate_ids: Collection[str]) -> Histories:
        """The whole history of each aggregate, read in one go; of a too long one a bit too much."""
        left = sorted(aggregate_ids)
        histories: dict[str, list[Event]] = {id_: [] for id_ in left}
        while left:
            for event in self._store.read_many([(id_, 1) for id_ in left]):
                history = histories[event.aggregate_id]
                history.append(event)
                if len(history) > self._longest:
                    left = left[left.index(event.aggregate_id) + 1 :]
                    break
            else:
                break
        return histories

    def _not_too_long(self, jobs: Sequence[Job], histories: Histories) -> list[Job]:
        """The jobs that can be done; those of aggregates that are too long are parked."""
        fit: list[Job] = []
        verdicts: dict[str, Verdict] = {}
        for job in jobs:
            id_, version = job.notice.aggregate_id, job.notice.version
            if len(histories[id_]) <= self._longest:
                fit.append(job)
                continue
            if id_ not in verdicts:
                verdicts[id_] = self._parking.failed(id_, version, None, self._too_long())
            job.settle(verdicts[id_])
        return fit

    def _too_long(self) -> TooManyEvents:
        return TooManyEvents(f"the aggregate has more than {self._longest} events")

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

    def _react_to_all(
        self, tasks: Sequence["_Task"], history: list[Event], read_at: float
    ) -> Iterator["_Reacted"]:
        """React to an aggregate's events, one after another."""
        left = deque(tasks)
        try:
            while left and not self._stopping():
                error: Exception | None = None
                try:
                    self._react(left[0].cause, history, read_at)
                except Exception as raised:
                    error = raised
                    # A connection that was lost is opened anew by the next reaction.
                    close_old_connections()
                yield left.popleft(), error
        finally:
            for task in left:
                del self._unfinished[task.cause.event_id]

    def _react(self, cause: Event, history: list[Event], read_at: float) -> bool:
        reaction = self._reactions.get(cause.event_type)
        if reaction is None:
            return False
        store = PrefetchedEventStore(self._store, history, read_at)
        run_through_conflicts(lambda: reaction(cause, store=store))
        return True

    def _settle(self, task: "_Task", error: Exception | None) -> None:
        jobs = self._unfinished.pop(task.cause.event_id)
        if error is not None and is_outage(error):
            self._suspect(task.cause)
            raise error
        try:
            verdict = self._verdict(task, error)
        except Exception as problem:
            if is_outage(problem):
                raise
            # It could not even be written down.
            verdict = self._verdict(task, problem)
        for job in jobs:
            job.settle(verdict)

    def _verdict(self, task: "_Task", error: Exception | None) -> Verdict:
        cause = task.cause
        if isinstance(error, RetryLater):
            return Later(error.delay_seconds)
        if error is not None:
            return self._parking.failed(cause.aggregate_id, cause.version, cause, error)
        self.events += 1
        self._suspects.discard(cause.event_id)
        if task.row is not None:
            self._parking.resolve(task.row)
        return Done()

    def _suspect(self, cause: Event) -> None:
        if len(self._suspects) >= MAX_SUSPECTS:
            self._suspects.clear()
        self._suspects.add(cause.event_id)


def _outside_of_transactions() -> bool:
    # In one, other fibers would take part: it is their thread's as well.
    opened = connections.all(initialized_only=True)
    return not any(connection.in_atomic_block for connection in opened)
