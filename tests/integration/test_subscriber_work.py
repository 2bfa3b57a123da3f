"""A subscription's work without NATS: messages in, effects and verdicts out."""

import pytest

from eventstore.client.memory import InMemoryEventStore
from eventstore.client.subscribing.delivery import Delivery
from tests.contract.new_events import new_event
from tests.integration.desks import (
    all_done,
    deliveries,
    delivery,
    desk,
    fill,
    handled,
    reactor,
)
from tests.integration.handlers import Ledger, Reactions

pytest_plugins = ["tests.integration.messaging"]
pytestmark = pytest.mark.django_db(databases=["payments"], transaction=True)


def test_a_projector_gets_every_event_in_version_order(log: InMemoryEventStore) -> None:
    fill(log, "a", "order-created", "order-approved")
    fill(log, "b")
    ledger = Ledger()
    assert all_done(handled(desk(log, ledger), deliveries(log)))
    assert ledger.applied == {"a": 2, "b": 1}
    assert ledger.calls == 1


def test_redelivered_notices_have_no_second_effect(log: InMemoryEventStore) -> None:
    fill(log, "a", "order-created", "order-approved")
    ledger = Ledger()
    work = desk(log, ledger)
    for _ in range(3):
        assert all_done(handled(work, deliveries(log)))
    assert set(ledger.effects.values()) == {1}
    assert ledger.calls == 1


def test_a_gap_is_filled_from_the_log(log: InMemoryEventStore) -> None:
    fill(log, "a", "order-created", "order-paid", "order-approved")
    ledger = Ledger()
    work = desk(log, ledger)
    assert all_done(handled(work, deliveries(log)[2:]))
    assert ledger.applied == {"a": 3}
    assert all_done(handled(work, deliveries(log)[:2]))
    assert ledger.calls == 1


def test_events_of_other_aggregates_are_passed_over(log: InMemoryEventStore) -> None:
    log.append([new_event("x", aggregate_type="invoice")])
    ledger = Ledger()
    assert all_done(handled(desk(log, ledger), deliveries(log)))
    assert ledger.calls == 0


def test_a_reactor_gets_the_events_of_its_types_from_the_log(log: InMemoryEventStore) -> None:
    fill(log, "a", "order-created", "order-shipped", "order-approved")
    reactions = Reactions()
    messages = [delivery(log, event) for event in log.read_stream()]
    forged = [Delivery(m.sequence, m.subject, m.headers, b'{"amount": "0.01"}') for m in messages]
    assert all_done(handled(desk(log, reactor(reactions)), forged))
    assert reactions.versions == [("a", 1), ("a", 3)]
    assert reactions.seen[0].payload == {"amount": "25.00"}
