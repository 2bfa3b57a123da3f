"""What the landing page asks each part: whether it answers, and what is going on there."""

import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.db import connections
from django.utils import timezone

from eventstore.client.connection import event_store
from eventstore.client.models import ParkedMessage
from orders_site.console.parts import Answer, Parts
from orders_site.ordering import reads as ordering
from payments import reads as payments
from queries import reads as queries
from restaurant import reads as restaurant

CONTEXTS = ("ordering", "payments", "restaurant", "queries")
# Counting stops here; a console needs no larger figure.
MOST = 10_000
MOST_SUBSCRIPTIONS = 50
MOST_PARKED = 1_000
NATS_SECONDS = 0.5
LOG_SECONDS = 0.5


@dataclass(frozen=True)
class SubscriptionState:
    """How far a subscription is; `still_for`: since when its checkpoint has not moved."""

    name: str
    position: int
    still_for: timedelta


@dataclass(frozen=True)
class Progress:
    """How far a subscription is, seen from the log's end; None is what is not known.

    `stuck_for`: how long its next event has been there without the checkpoint moving; 0 where it
    has everything.
    """

    name: str
    position: int
    behind: int | None
    stuck_for: timedelta | None


@dataclass(frozen=True)
class ContextState:
    """What a context tells: its subscriptions, how much it parked, and figures of its own."""

    subscriptions: list[SubscriptionState]
    parked: int
    figures: dict[str, int] = field(default_factory=dict)


def today() -> datetime:
    """The first moment of the day, in UTC."""
    return datetime.combine(timezone.now().astimezone(UTC).date(), time.min, tzinfo=UTC)


def context(label: str, figures: Callable[[], dict[str, int]]) -> ContextState:
    """The state of the context with this app label."""
    checkpoints = apps.get_model(label, "Checkpoint")._default_manager.order_by("pk")
    parked = apps.get_model(label, "ParkedMessage")._default_manager.order_by()
    now = timezone.now()
    return ContextState(
        [
            SubscriptionState(row.pk, row.position, now - row.updated_at)
            for row in checkpoints[:MOST_SUBSCRIPTIONS]
        ],
        parked.filter(state=ParkedMessage.State.PARKED)[:MOST].count(),
        figures(),
    )


def database(alias: str) -> None:
    """Have a database answer."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT 1")


def head_position() -> int:
    """The position of the log's last event."""
    return event_store().head().position


def nats() -> str:
    """The NATS server's greeting; raises OSError if none comes."""
    first = urlsplit(settings.NATS_URL.split(",")[0].strip())
    address = (first.hostname or "127.0.0.1", first.port or 4222)
    with socket.create_connection(address, timeout=NATS_SECONDS) as connection:
        greeting = connection.recv(4).decode(errors="replace")
    if greeting != "INFO":
        raise ConnectionError("this is no NATS server")
    return greeting


def sagas() -> dict[str, int]:
    """What needs people: refunds overdue, and orders with money whose saga stands still."""
    unwatched = payments.holding_money(ordering.parked_orders(MOST_PARKED))
    return {"alarms": ordering.alarms(MOST), "unwatched": unwatched}


QUESTIONS: dict[str, Callable[[], Any]] = {
    "ordering": partial(context, "ordering", sagas),
    "payments": partial(context, "payments", lambda: payments.counts_by_state(today(), MOST)),
    "restaurant": partial(context, "restaurant", lambda: {"open": restaurant.open_tickets(MOST)}),
    "queries": partial(context, "queries", lambda: queries.counts_by_status(today().date())),
    "log": partial(database, "eventstore"),
    "event store": head_position,
    "NATS": nats,
}
PARTS = Parts(QUESTIONS)


def progress(answers: Mapping[str, Answer]) -> Iterator[Progress]:
    """Each subscription that the parts told of; asks the log how old the next event of each is."""
    head = answers["event store"].value
    states = [answers[label].value for label in CONTEXTS]
    known = [
        one for state in states if isinstance(state, ContextState) for one in state.subscriptions
    ]
    late = {one.position + 1 for one in known if head is not None and one.position < head}
    ages: dict[int, timedelta] = {}
    if late:
        ages = PARTS.ask_also("next events", partial(ages_of, late), LOG_SECONDS).value or {}
    for one in known:
        behind = None if head is None else max(head - one.position, 0)
        age = ages.get(one.position + 1) if behind else timedelta(0)
        stuck_for = None if behind is None or age is None else min(age, one.still_for)
        yield Progress(one.name, one.position, behind, stuck_for)


def ages_of(positions: Collection[int]) -> dict[int, timedelta]:
    """How long ago the events at positions of the log were stored, so many of the first of them."""
    store, now = event_store(), timezone.now()
    return {
        event.position: max(now - event.recorded_at, timedelta(0))
        for position in sorted(positions)[:MOST_SUBSCRIPTIONS]
        for event in store.read_stream(position, limit=1)
    }
