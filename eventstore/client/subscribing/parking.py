"""Parked messages: counting failures, parking, and what an operator does about them."""

import logging
import time
import traceback
from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from eventstore.client.errors import TooManyEvents, UnknownSchemaVersion
from eventstore.client.events import Event
from eventstore.client.models import ParkedMessage
from eventstore.client.outages import run_through_conflicts
from eventstore.client.subscribing.delivery import Delivery, Done, Later, Verdict
from eventstore.client.subscription import Subscription

logger = logging.getLogger("eventstore.subscriber")

State: Any = ParkedMessage.State
OPEN = (State.FAILING, State.PARKED, State.RETRY)
CLOSED = (State.RESOLVED, State.DISCARDED)

LONGEST_PAUSE_SECONDS = 30.0
RETRY_SECONDS = 1.0
MAX_ERROR = 2_000
MAX_TRACEBACK = 20_000
MAX_PAYLOAD = 256 * 1024
# How many open rows are held in memory, and for how long.
MAX_KNOWN = 1_000
KNOWN_SECONDS = 1.0


def request_retry(parked: type[ParkedMessage], ids: Iterable[UUID]) -> int:
    """Have the subscription try parked messages again; how many, so a double click counts once."""
    return _move(parked, ids, State.PARKED, State.RETRY)


def discard(parked: type[ParkedMessage], ids: Iterable[UUID]) -> int:
    """Give parked messages up; how many. The subscription follows their aggregates again."""
    return _move(parked, ids, State.PARKED, State.DISCARDED)


def _move(parked: type[ParkedMessage], ids: Iterable[UUID], state: str, to: str) -> int:
    rows = parked._default_manager.filter(pk__in=list(ids), state=state)
    return rows.update(state=to, updated_at=timezone.now())


class Parking:
    """The parked messages of one subscription.

    Args:
        attempts: failures after which a message is parked.
    """

    def __init__(self, subscription: Subscription, attempts: int) -> None:
        self._subscription = subscription
        self._attempts = attempts
        self._rows = subscription.parked._default_manager.using(subscription.database).filter(
            subscription=subscription.name
        )
        # The aggregates that have open rows; None if there are too many to hold.
        self._known: set[str] | None = None
        self._known_until = 0.0

    def open_rows(
        self, aggregate_ids: Iterable[str], *, again: Collection[str] = ()
    ) -> list[ParkedMessage]:
        """The rows of these aggregates that still count.

        Asked of the database only for aggregates that had such rows a moment ago, or that are
        among `again`: those with a message that was delivered before. A row that another worker
        has made since is missed, which does no harm. Until it is known here, a later notice of
        its aggregate is worked on: what fails then is counted on the stored row, which stays
        parked, and what succeeds is in the log's order (a projector) or needs none (a reactor).
        A row that is known is always read anew. Taking its notice for blocked after an operator
        had it retried would lose what the retry read the log too early for.
        """
        known = self._held()
        asked = {id_ for id_ in aggregate_ids if known is None or id_ in known or id_ in again}
        if not asked:
            return []
        return list(self._rows.filter(aggregate_id__in=asked, state__in=OPEN))

    def _held(self) -> set[str] | None:
        if time.monotonic() >= self._known_until:
            rows = self._rows.filter(state__in=OPEN).order_by()
            ids = list(rows.values_list("aggregate_id", flat=True)[: MAX_KNOWN + 1])
            self._known = set(ids) if len(ids) <= MAX_KNOWN else None
            self._known_until = time.monotonic() + KNOWN_SECONDS
        return self._known

    def retries(self, limit: int) -> list[ParkedMessage]:
        """Some of the rows for which an operator asked for a retry, the oldest first."""
        return list(self._rows.filter(state=State.RETRY).order_by("updated_at", "pk")[:limit])

    def resolve(self, row: ParkedMessage) -> None:
        """What had failed is applied."""
        self._rows.filter(pk=row.pk, state=row.state).update(
            state=State.RESOLVED, updated_at=timezone.now()
        )

    def failed(
        self, aggregate_id: str, from_version: int, event: Event | None, error: Exception
    ) -> Verdict:
        """Count a failure, park what has failed too often; what becomes of the message."""
        fields = {**_described(event), **_reason(error)}
        row = run_through_conflicts(lambda: self._count(aggregate_id, from_version, fields, error))
        if self._known is not None:
            self._known.add(aggregate_id)
        where = f"{aggregate_id} from version {from_version}"
        if row.state == State.PARKED:
            logger.error(
                "%s: parked %s after %d attempts: %s",
                *(self._subscription.worker, where, row.attempts, fields["error"]),
            )
            return Done()
        if row.state == State.RETRY:
            return Later(RETRY_SECONDS)
        logger.warning(
            "%s: attempt %d at %s failed: %s",
            *(self._subscription.worker, row.attempts, where, fields["error"]),
        )
        return Later(min(2.0 ** (row.attempts - 1), LONGEST_PAUSE_SECONDS))

    def _count(
        self, aggregate_id: str, from_version: int, fields: dict[str, Any], error: Exception
    ) -> ParkedMessage:
        with transaction.atomic(using=self._subscription.database):
            row = (
                self._rows.select_for_update()
                .filter(aggregate_id=aggregate_id, from_version=from_version)
                .first()
            )
            if row is None:
                row = self._new(aggregate_id, from_version)
            elif row.state in (State.PARKED, State.RETRY):
                return row
            row.attempts = 1 if row.state in CLOSED else row.attempts + 1
            hopeless = isinstance(error, UnknownSchemaVersion | TooManyEvents)
            row.state = (
                State.PARKED if hopeless or row.attempts >= self._attempts else State.FAILING
            )
            _assign(row, fields)
            row.save(using=self._subscription.database)
            return row

    def park_again(self, row: ParkedMessage, error: Exception) -> None:
        """A retry that was asked for failed."""
        logger.error("%s: retry of %s failed: %s", self._subscription.worker, row, error)
        self._rows.filter(pk=row.pk, state=State.RETRY).update(
            state=State.PARKED,
            attempts=row.attempts + 1,
            updated_at=timezone.now(),
            **_reason(error),
        )

    def bad_notice(self, delivery: Delivery, reason: str) -> None:
        """Park a message that is no notice of an event of the log.

        It blocks no aggregate, whichever it names: anybody may have made it up.
        """
        logger.warning(
            "%s: the message at %d is no notice of an event, parked: %s",
            *(self._subscription.worker, delivery.sequence, reason),
        )
        row = self._new("", delivery.sequence)
        fields = {
            "event_id": delivery.headers.get("ce-id", "")[:64],
            "event_type": delivery.headers.get("ce-type", delivery.subject)[:255],
            "position": delivery.sequence,
            "payload": delivery.data[:MAX_PAYLOAD].decode(errors="replace"),
            "error": reason,
            "attempts": 1,
            "state": State.PARKED,
        }
        self._rows.update_or_create(
            subscription=row.subscription,
            aggregate_id="",
            from_version=delivery.sequence,
            defaults={name: _storable(value) for name, value in fields.items()},
        )

    def _new(self, aggregate_id: str, from_version: int) -> ParkedMessage:
        return self._subscription.parked(
            subscription=self._subscription.name,
            aggregate_id=aggregate_id,
            from_version=from_version,
        )


def _assign(row: ParkedMessage, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        setattr(row, name, value)


def _described(event: Event | None) -> dict[str, Any]:
    if event is None:
        return {}
    return {
        "event_id": str(event.event_id),
        "event_type": event.event_type,
        "position": event.position,
        "payload": event.data,
    }


def _reason(error: Exception) -> dict[str, Any]:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    trace = "".join(traceback.format_exception(error))
    return {"error": _storable(text[:MAX_ERROR]), "traceback": _storable(trace[-MAX_TRACEBACK:])}


def _storable(value: Any) -> Any:
    """Without what PostgreSQL refuses in text: NUL and lone surrogates."""
    if not isinstance(value, str):
        return value
    return value.replace("\x00", "").encode(errors="replace").decode()
