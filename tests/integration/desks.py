"""A subscription's work without NATS, as tests drive it."""

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, OperationalError
from psycopg import errors

from eventstore.client.events import Event
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.notice import headers_of, subject_of
from eventstore.client.subscribing.delivery import Delivery, Done, Verdict
from eventstore.client.subscribing.desk import Desk
from eventstore.client.subscription import Projector, Reactor
from payments.models import ParkedMessage
from tests.contract.new_events import new_event
from tests.integration.handlers import Reactions
from tests.integration.messaging import subscription_of

ATTEMPTS = 3


def desk(log: InMemoryEventStore, handler: Projector | Reactor, **options: Any) -> Desk:
    return Desk(subscription_of(handler, log), attempts=ATTEMPTS, **options)


def reactor(reaction: Reactions) -> Reactor:
    return Reactor({"order-created": reaction, "order-approved": reaction})


def fill(log: InMemoryEventStore, aggregate_id: str, *types: str) -> None:
    for event_type in types or ("order-created",):
        log.append([new_event(aggregate_id, event_type=event_type)])


def delivery(log: InMemoryEventStore, event: Event, **changes: Any) -> Delivery:
    headers = headers_of(event, log.head().log_id)
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    return Delivery(
        event.position, subject_of("ORDERS", event.event_type), headers, event.data.encode()
    )


def deliveries(log: InMemoryEventStore) -> list[Delivery]:
    return [delivery(log, event) for event in log.read_stream()]


class Settled(dict[int, Verdict]):
    """The verdicts by sequence; each message is settled once."""

    def __call__(self, delivery: Delivery, verdict: Verdict) -> None:
        assert delivery.sequence not in self
        self[delivery.sequence] = verdict


def handled(desk: Desk, messages: Sequence[Delivery]) -> Settled:
    settled = Settled()
    desk.handle(messages, settled)
    return settled


def all_done(settled: Settled) -> bool:
    return bool(settled) and all(verdict == Done() for verdict in settled.values())


def the_row() -> ParkedMessage:
    return ParkedMessage.objects.get()


def conflict(state: str = "40001") -> Exception:
    """What Django raises when PostgreSQL answers with this SQLSTATE."""
    cause = errors.lookup(state)("conflict")
    problem = IntegrityError("conflict") if state.startswith("23") else OperationalError("conflict")
    problem.__cause__ = cause
    return problem
