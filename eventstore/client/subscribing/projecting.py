"""How a projector is brought up to date: which aggregates are behind, and their events in order."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from uuid import UUID

from django.db import transaction

from eventstore.client.errors import RetryLater
from eventstore.client.events import Event
from eventstore.client.models import ParkedMessage
from eventstore.client.outages import is_outage, run_through_conflicts
from eventstore.client.subscribing.delivery import Delivery, Done, Job, Later, Verdict
from eventstore.client.subscribing.parking import Parking
from eventstore.client.subscription import Projector, Subscription

# How many events one transaction applies; bounds memory and locks when a lot is to catch up.
SLICE_EVENTS = 2_000

Version = tuple[str, int]


class Projecting:
    """The work of a subscription whose handler is a projector."""

    # Nothing is left for a later call.
    unfinished: Collection[Delivery] = ()
    has_news = False

    def __init__(self, subscription: Subscription, projector: Projector, parking: Parking) -> None:
        self.events = 0
        self._subscription = subscription
        self._projector = projector
        self._parking = parking

    def take(self, jobs: Sequence[Job], failing: Sequence[ParkedMessage]) -> None:
        """Apply what the notices tell of, in one go, and settle each."""
        concerned = [job for job in jobs if self._concerns(job.notice.aggregate_type)]
        wanted: dict[str, int] = defaultdict(int)
        for job in concerned:
            wanted[job.notice.aggregate_id] = max(
                wanted[job.notice.aggregate_id], job.notice.version
            )
        starts = {id_: start for id_, start in self._starts(wanted).items() if start <= wanted[id_]}
        read: dict[Version, UUID] = {}
        verdicts: dict[str, Verdict] = {}
        try:
            read = self._bring_up(starts)
        except Exception as error:
            if is_outage(error):
                raise
            # One of them spoils it for all: find out which.
            for id_ in starts:
                verdicts[id_] = self._alone(id_, read)
        self._resolve([row for row in failing if row.aggregate_id in wanted], verdicts)
        for job in concerned:
            self._check(job, starts, read, verdicts)
        for job in jobs:
            job.settle(verdicts.get(job.notice.aggregate_id, Done()))

    def go_on(self, *, whole: bool) -> None:
        """Nothing is left to go on with."""

    def catch_up(self, aggregate_id: str, from_version: int) -> None:
        """Apply all of the aggregate's events that are not applied; raises what stops it."""
        self._bring_up(self._starts([aggregate_id]))

    def catch_up_with(self, event: Event) -> None:
        """The same for the event's aggregate."""
        if self._concerns(event.aggregate_type):
            self.catch_up(event.aggregate_id, event.version)

    def close(self) -> None:
        """Nothing to end: all is done by the calling thread."""

    def _concerns(self, aggregate_type: str) -> bool:
        return aggregate_type in self._projector.aggregate_types

    def _starts(self, aggregate_ids: Iterable[str]) -> dict[str, int]:
        """The first version that each aggregate lacks, in the order of their ids."""
        ids = sorted(aggregate_ids)
        versions = run_through_conflicts(lambda: self._projector.versions(ids)) if ids else {}
        return {id_: versions.get(id_, 0) + 1 for id_ in ids}

    def _bring_up(self, starts: Mapping[str, int]) -> dict[Version, UUID]:
        """Apply all events from these versions on; which events there were."""
        read: dict[Version, UUID] = {}
        if not starts:
            return read
        for events in _slices(self._subscription.store.read_many(list(starts.items()))):
            run_through_conflicts(partial(self._apply, events))
            for id_, history in events.items():
                read.update(((id_, event.version), event.event_id) for event in history)
        return read

    def _apply(self, events: Mapping[str, Sequence[Event]]) -> None:
        with transaction.atomic(using=self._subscription.database):
            self._projector.apply(events)
        self.events += sum(map(len, events.values()))

    def _alone(self, aggregate_id: str, read: dict[Version, UUID]) -> Verdict:
        """Apply one aggregate's events one by one, so that what fails is known by its version."""
        starts = self._starts([aggregate_id])
        event: Event | None = None
        try:
            for event in self._subscription.store.read_many(list(starts.items())):
                run_through_conflicts(partial(self._apply, {aggregate_id: [event]}))
                read[(aggregate_id, event.version)] = event.event_id
        except RetryLater as later:
            return Later(later.delay_seconds)
        except Exception as error:
            if is_outage(error):
                raise
            version = event.version if event else starts[aggregate_id]
            return self._parking.failed(aggregate_id, version, event, error)
        return Done()

    def _resolve(self, failing: Sequence[ParkedMessage], verdicts: Mapping[str, Verdict]) -> None:
        for row in failing:
            if verdicts.get(row.aggregate_id, Done()) == Done():
                self._parking.resolve(row)

    def _check(
        self,
        job: Job,
        starts: Mapping[str, int],
        read: Mapping[Version, UUID],
        verdicts: Mapping[str, Verdict],
    ) -> None:
        """Park a notice that the log contradicts; its aggregate was followed all the same."""
        notice = job.notice
        start = starts.get(notice.aggregate_id)
        if start is None or notice.version < start or notice.aggregate_id in verdicts:
            return
        found = read.get((notice.aggregate_id, notice.version))
        if found is None:
            self._parking.bad_notice(job.delivery, "the log has no such event")
        elif found != notice.event_id:
            self._parking.bad_notice(job.delivery, "the log has another event there")


def _slices(events: Iterator[Event]) -> Iterator[dict[str, list[Event]]]:
    part: dict[str, list[Event]] = {}
    size = 0
    for event in events:
        part.setdefault(event.aggregate_id, []).append(event)
        size += 1
        if size >= SLICE_EVENTS:
            yield part
            part, size = {}, 0
    if part:
        yield part
