"""The work of a subscription, without NATS: from delivered messages to verdicts."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import partial

from django.conf import settings
from django.db import connections

from eventstore.client.errors import RetryLater
from eventstore.client.models import ParkedMessage
from eventstore.client.notice import BadNotice, parse
from eventstore.client.outages import is_outage
from eventstore.client.subscribing.delivery import Delivery, Done, Job, Later, Settle, Verdict
from eventstore.client.subscribing.parking import RETRY_SECONDS, Parking, State
from eventstore.client.subscribing.projecting import Projecting
from eventstore.client.subscribing.reacting import Reacting
from eventstore.client.subscription import Reactor, Subscription

RETRIES_AT_ONCE = 10


class NothingThere(Exception):
    """The log has no event at this position."""


class Desk:
    """Works on deliveries; to be called by one thread.

    Args:
        attempts: failures after which a message is parked.
        stopping: asked between two messages.
        threads: that do what a reactor's reactions do aside.
        on_news: called, by any thread, when `handle` could go on with what is unfinished.
    """

    def __init__(
        self,
        subscription: Subscription,
        *,
        attempts: int,
        stopping: Callable[[], bool] = lambda: False,
        threads: int = 1,
        on_news: Callable[[], object] = lambda: None,
    ) -> None:
        self._subscription = subscription
        self._stopping = stopping
        self._parking = Parking(subscription, attempts)
        self._work: Projecting | Reacting
        match subscription.handler:
            case Reactor() as reactor:
                self._work = Reacting(
                    subscription,
                    reactor,
                    self._parking,
                    stopping=stopping,
                    threads=threads,
                    longest=settings.EVENTSTORE_AGGREGATE_EVENTS,
                    on_news=on_news,
                )
            case projector:
                self._work = Projecting(subscription, projector, self._parking)

    @property
    def events(self) -> int:
        """How many events were applied or reacted to."""
        return self._work.events

    @property
    def unfinished(self) -> Collection[Delivery]:
        """The messages that `handle` took and is not done with, since they wait for long."""
        return self._work.unfinished

    @property
    def has_news(self) -> bool:
        """Whether `handle` could go on with one of those."""
        return self._work.has_news

    def handle(
        self, deliveries: Sequence[Delivery], settle: Settle, *, whole: bool = False
    ) -> None:
        """Work on messages and settle each, but for those that are left `unfinished`; and go on
        with those of earlier calls.

        Args:
            whole: leave nothing unfinished.

        Raises what `is_outage` knows as an outage; messages not settled by then, or when
        `stopping` became true, are to be given back.
        """
        if jobs := self._read(deliveries, settle):
            self._begin(jobs)
        self._work.go_on(whole=whole)

    def _begin(self, jobs: Sequence[Job]) -> None:
        """Settle what is blocked, and take the rest."""
        rows = self._parking.open_rows(
            {job.notice.aggregate_id for job in jobs},
            again={job.notice.aggregate_id for job in jobs if job.delivery.redelivered},
        )
        by_aggregate: dict[str, list[ParkedMessage]] = defaultdict(list)
        for row in rows:
            by_aggregate[row.aggregate_id].append(row)
        free = []
        for job in jobs:
            verdict = self._blocked(job, by_aggregate.get(job.notice.aggregate_id, []))
            if verdict is None:
                free.append(job)
            else:
                job.settle(verdict)
        self._take(free, [row for row in rows if row.state == State.FAILING])

    def retry(self) -> bool:
        """Try again what an operator asked for; whether there was anything."""
        rows = self._parking.retries(RETRIES_AT_ONCE)
        for row in rows:
            if self._stopping():
                break
            try:
                self._retry(row)
            except RetryLater:
                continue
            except Exception as error:
                if is_outage(error):
                    raise
                self._parking.park_again(row, error)
            else:
                self._parking.resolve(row)
        return bool(rows)

    def close(self) -> None:
        """Give up what is unfinished, and close the connections when what is aside has ended."""
        self._work.close()
        connections.close_all()

    def _take(self, jobs: Sequence[Job], failing: Sequence[ParkedMessage]) -> None:
        try:
            self._work.take(jobs, failing)
        except Exception as error:
            if is_outage(error) or not jobs:
                raise
            if len(jobs) > 1:
                for job in jobs:
                    self._take([job], failing)
                return
            notice = jobs[0].notice
            jobs[0].settle(self._parking.failed(notice.aggregate_id, notice.version, None, error))

    def _read(self, deliveries: Sequence[Delivery], settle: Settle) -> list[Job]:
        jobs = []
        for each in deliveries:
            try:
                notice = parse(
                    self._subscription.stream, each.subject, each.headers, each.data, each.sequence
                )
            except BadNotice as problem:
                self._parking.bad_notice(each, str(problem))
                settle(each, Done())
            else:
                jobs.append(Job(each, notice, partial(settle, each)))
        return jobs

    def _blocked(self, job: Job, rows: Sequence[ParkedMessage]) -> Verdict | None:
        """The verdict on a notice of an aggregate that is parked, if it is."""
        before = [row for row in rows if row.from_version <= job.notice.version]
        # While a retry runs it may have read the log already: the notice waits for its outcome.
        if any(row.state == State.RETRY for row in before):
            return Later(RETRY_SECONDS)
        if not any(row.state == State.PARKED for row in before):
            return None
        for row in before:
            if row.state == State.FAILING and row.from_version == job.notice.version:
                self._parking.resolve(row)  # the retry of the parked one covers it
        return Done()

    def _retry(self, row: ParkedMessage) -> None:
        if row.aggregate_id:
            self._work.catch_up(row.aggregate_id, row.from_version)
            return
        # What was parked was no notice; but the log may have an event where it stood.
        event = next(
            iter(
                self._subscription.store.read_stream(
                    row.position, stream=self._subscription.stream, limit=1
                )
            ),
            None,
        )
        if event is None:
            raise NothingThere(f"the log has no event at {row.position}")
        self._work.catch_up_with(event)
