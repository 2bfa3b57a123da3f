"""How a reactor's notices are answered: each with the event it tells of, read from the log."""

from collections.abc import Callable, Sequence

from eventstore.client.delivery import Done, Job, Later, Verdict
from eventstore.client.errors import RetryLater
from eventstore.client.events import Event
from eventstore.client.models import ParkedMessage
from eventstore.client.outages import is_outage, run_through_conflicts
from eventstore.client.parking import Parking
from eventstore.client.subscription import Reactor, Subscription

MAX_SUSPECTS = 1_000


class Reacting:
    """The work of a subscription whose handler is a reactor.

    Args:
        stopping: asked between two messages; what is left then is given back.
    """

    def __init__(
        self,
        subscription: Subscription,
        reactor: Reactor,
        parking: Parking,
        stopping: Callable[[], bool],
    ) -> None:
        self.events = 0
        self._store = subscription.store
        self._reactions = reactor.reactions
        self._parking = parking
        self._stopping = stopping
        # Sequences of messages that an outage hit. They are worked on last, so that what is out
        # for one message only (a gateway that knows nothing of it yet) holds up no other.
        self._suspects: set[int] = set()

    def take(self, jobs: Sequence[Job], failing: Sequence[ParkedMessage]) -> None:
        """React to each notice and settle it; an outage is raised, the rest stays unsettled."""
        known = []
        for job in jobs:
            if job.notice.event_type in self._reactions:
                known.append(job)
            else:
                job.settle(Done())
        causes = self._causes(known)
        rows = {(row.aggregate_id, row.from_version): row for row in failing}
        for job in sorted(known, key=lambda job: job.delivery.sequence in self._suspects):
            if self._stopping():
                return
            key = (job.notice.aggregate_id, job.notice.version)
            job.settle(self._answer(job, causes.get(key), rows.get(key)))

    def catch_up(self, aggregate_id: str, from_version: int) -> None:
        """React to the aggregate's events from a version on; raises what stops it."""
        for event in self._store.read_many([(aggregate_id, from_version)]):
            self.catch_up_with(event)

    def catch_up_with(self, event: Event) -> None:
        """React to one event."""
        if (reaction := self._reactions.get(event.event_type)) is not None:
            run_through_conflicts(lambda: reaction(event))
            self.events += 1

    def _causes(self, jobs: Sequence[Job]) -> dict[tuple[str, int], Event]:
        wanted = {(job.notice.aggregate_id, job.notice.version) for job in jobs}
        starts: dict[str, int] = {}
        for id_, version in wanted:
            starts[id_] = min(version, starts.get(id_, version))
        if not starts:
            return {}
        events = self._store.read_many(sorted(starts.items()))
        return {
            (event.aggregate_id, event.version): event
            for event in events
            if (event.aggregate_id, event.version) in wanted
        }

    def _answer(self, job: Job, cause: Event | None, row: ParkedMessage | None) -> Verdict:
        if cause is None:
            self._parking.bad_notice(job.delivery, "the log has no such event")
            return Done()
        if cause.event_id != job.notice.event_id or cause.event_type != job.notice.event_type:
            self._parking.bad_notice(job.delivery, "the log has another event there")
            return Done()
        try:
            self.catch_up_with(cause)
        except RetryLater as later:
            return Later(later.delay_seconds)
        except Exception as error:
            if is_outage(error):
                self._suspect(job)
                raise
            return self._parking.failed(cause.aggregate_id, cause.version, cause, error)
        self._suspects.discard(job.delivery.sequence)
        if row is not None:
            self._parking.resolve(row)
        return Done()

    def _suspect(self, job: Job) -> None:
        if len(self._suspects) >= MAX_SUSPECTS:
            self._suspects.clear()
        self._suspects.add(job.delivery.sequence)
