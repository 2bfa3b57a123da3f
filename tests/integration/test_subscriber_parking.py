"""What fails again and again is parked, tried again or given up, and holds up nobody."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from django.db import connections

from eventstore.client import UnknownSchemaVersion
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.subscribing import parking
from eventstore.client.subscribing.delivery import Done, Later, Verdict
from eventstore.client.subscribing.parking import discard, request_retry
from payments.models import ParkedMessage
from tests.integration.desks import (
    ATTEMPTS,
    all_done,
    deliveries,
    desk,
    fill,
    handled,
    reactor,
    the_row,
)
from tests.integration.handlers import Failing, Ledger, Reactions
from tests.integration.messaging import State

pytest_plugins = ["tests.integration.messaging"]
pytestmark = pytest.mark.django_db(databases=["payments"], transaction=True)


def test_only_the_culprit_of_a_failed_batch_counts(log: InMemoryEventStore) -> None:
    for id_ in ("a", "poison", "b"):
        fill(log, id_)
    ledger = Ledger(Failing(ValueError("bad"), lambda event: event.aggregate_id == "poison"))
    settled = handled(desk(log, ledger), deliveries(log))
    assert [settled[1], settled[3]] == [Done(), Done()]
    assert isinstance(settled[2], Later)
    row = the_row()
    assert (row.aggregate_id, row.from_version, row.attempts) == ("poison", 1, 1)
    assert (row.state, row.error) == (State.FAILING, "ValueError: bad")
    assert "ValueError: bad" in row.traceback
    assert row.payload == '{"amount": "25.00"}'
    assert ledger.applied == {"a": 1, "b": 1}


def test_after_too_many_attempts_it_is_parked_and_later_notices_pass(
    log: InMemoryEventStore,
) -> None:
    fill(log, "poison")
    ledger = Ledger(Failing(ValueError("bad"), lambda event: event.version == 1))
    work = desk(log, ledger)
    for _ in range(ATTEMPTS - 1):
        assert isinstance(handled(work, deliveries(log))[1], Later)
    assert all_done(handled(work, deliveries(log)))
    assert the_row().state == State.PARKED
    fill(log, "poison", "order-approved")
    calls = ledger.calls
    assert all_done(handled(work, deliveries(log)))
    assert ledger.calls == calls


def test_attempts_are_counted_across_workers_and_restarts(log: InMemoryEventStore) -> None:
    fill(log, "poison")
    for _ in range(ATTEMPTS):
        ledger = Ledger(Failing(ValueError("bad"), lambda event: True))
        handled(desk(log, ledger), deliveries(log))
    assert (the_row().state, the_row().attempts) == (State.PARKED, ATTEMPTS)


def test_what_failed_and_then_works_is_resolved(log: InMemoryEventStore) -> None:
    fill(log, "a")
    hook = Failing(ValueError("bad"), lambda event: True)
    work = desk(log, Ledger(hook))
    handled(work, deliveries(log))
    hook.mended = True
    assert all_done(handled(work, deliveries(log)))
    assert the_row().state == State.RESOLVED


def test_a_retry_applies_the_log_from_there_on(log: InMemoryEventStore) -> None:
    fill(log, "a", "order-created", "order-approved")
    hook = Failing(ValueError("bad"), lambda event: event.version == 1)
    ledger = Ledger(hook)
    work = desk(log, ledger)
    for _ in range(ATTEMPTS):
        handled(work, deliveries(log))
    hook.mended = True
    assert not work.retry()
    assert request_retry(ParkedMessage, [the_row().pk]) == 1
    assert work.retry()
    assert ledger.applied == {"a": 2}
    assert the_row().state == State.RESOLVED
    fill(log, "a", "order-shipped")
    assert all_done(handled(work, deliveries(log)))
    assert ledger.applied == {"a": 3}


def test_a_retry_that_fails_parks_again_with_the_new_error(log: InMemoryEventStore) -> None:
    fill(log, "a")
    hook = Failing(ValueError("bad"), lambda event: True)
    work = desk(log, Ledger(hook))
    for _ in range(ATTEMPTS):
        handled(work, deliveries(log))
    hook.error = ValueError("worse")
    request_retry(ParkedMessage, [the_row().pk])
    work.retry()
    row = the_row()
    assert (row.state, row.error, row.attempts) == (State.PARKED, "ValueError: worse", ATTEMPTS + 1)


def test_while_a_retry_is_asked_for_notices_wait_for_its_outcome(log: InMemoryEventStore) -> None:
    fill(log, "a")
    hook = Failing(ValueError("bad"), lambda event: True)
    ledger = Ledger(hook)
    work = desk(log, ledger)
    for _ in range(ATTEMPTS):
        handled(work, deliveries(log))
    request_retry(ParkedMessage, [the_row().pk])
    hook.mended = True
    assert isinstance(handled(work, deliveries(log))[1], Later)
    assert ledger.applied == {}
    work.retry()
    assert all_done(handled(work, deliveries(log)))
    assert ledger.applied == {"a": 1}


@pytest.mark.parametrize("move", [request_retry, discard])
def test_a_double_click_has_one_effect(
    log: InMemoryEventStore, move: Callable[[type[ParkedMessage], list[UUID]], int]
) -> None:
    fill(log, "a")
    work = desk(log, Ledger(Failing(ValueError("bad"), lambda event: True)))
    for _ in range(ATTEMPTS):
        handled(work, deliveries(log))
    assert [move(ParkedMessage, [the_row().pk]) for _ in range(2)] == [1, 0]


def test_a_discarded_aggregate_is_followed_again(log: InMemoryEventStore) -> None:
    fill(log, "a")
    hook = Failing(ValueError("bad"), lambda event: True)
    ledger = Ledger(hook)
    work = desk(log, ledger)
    for _ in range(ATTEMPTS):
        handled(work, deliveries(log))
    discard(ParkedMessage, [the_row().pk])
    hook.mended = True
    fill(log, "a", "order-approved")
    assert all_done(handled(work, deliveries(log)))
    assert ledger.applied == {"a": 2}
    assert the_row().state == State.DISCARDED


def test_an_unknown_schema_is_parked_at_once(log: InMemoryEventStore) -> None:
    fill(log, "a")
    work = desk(log, Ledger(Failing(UnknownSchemaVersion("version 999"), lambda event: True)))
    assert all_done(handled(work, deliveries(log)))
    assert (the_row().state, the_row().attempts) == (State.PARKED, 1)


@pytest.mark.parametrize("text", ["a\x00b", "half \ud800", "x" * 100_000])
def test_any_error_text_can_be_parked(log: InMemoryEventStore, text: str) -> None:
    fill(log, "a")
    work = desk(log, Ledger(Failing(ValueError(text), lambda event: True)))
    handled(work, deliveries(log))
    assert the_row().error.startswith("ValueError: ")


def test_a_reactor_parks_the_culprit_and_answers_the_others(log: InMemoryEventStore) -> None:
    for id_ in ("a", "poison", "b"):
        fill(log, id_)
    hook = Failing(ValueError("bad"), lambda event: event.aggregate_id == "poison")
    reactions = Reactions(hook)
    work = desk(log, reactor(reactions))
    settled = handled(work, deliveries(log))
    assert [settled[1], settled[3]] == [Done(), Done()]
    for _ in range(ATTEMPTS - 1):
        handled(work, deliveries(log)[1:2])
    fill(log, "poison", "order-approved")
    assert all_done(handled(work, deliveries(log)[3:]))
    assert [event.aggregate_id for event in reactions.seen] == ["a", "b"]
    hook.mended = True
    request_retry(ParkedMessage, [the_row().pk])
    work.retry()
    assert reactions.versions[2:] == [("poison", 1), ("poison", 2)]
    assert the_row().state == State.RESOLVED


def test_in_the_normal_case_parking_costs_one_query_now_and_then(
    log: InMemoryEventStore, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "KNOWN_SECONDS", 60)
    for number in range(50):
        fill(log, f"order-{number}")
    reactions = Reactions()
    work = desk(log, reactor(reactions))
    with django_assert_num_queries(1, connection=connections["payments"]):
        handled(work, deliveries(log))
        handled(work, deliveries(log))
    assert len(reactions.seen) == 100


class Unaware:
    """A worker that looked at the parked messages before another worker parked `poison`."""

    def __init__(self, log: InMemoryEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parking, "KNOWN_SECONDS", 60)
        self.log = log
        self.hook = Failing(ValueError("bad"), lambda event: event.aggregate_id == "poison")
        self.ledger = Ledger(self.hook)
        self.desk = desk(log, self.ledger)
        fill(log, "a")
        handled(self.desk, deliveries(log))
        fill(log, "poison")
        other = desk(log, Ledger(self.hook))
        for _ in range(ATTEMPTS):
            handled(other, deliveries(log))

    def notice(self, **changes: Any) -> Verdict:
        """What it answers to the latest notice."""
        latest = replace(deliveries(self.log)[-1], **changes)
        return handled(self.desk, [latest])[latest.sequence]


def test_what_another_worker_parked_stays_parked_with_one_that_has_not_heard_of_it(
    log: InMemoryEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    unaware = Unaware(log, monkeypatch)
    fill(log, "poison", "order-approved")
    assert unaware.notice() == Done()
    assert (the_row().state, the_row().attempts) == (State.PARKED, ATTEMPTS)
    raised = unaware.hook.raised
    assert unaware.notice() == Done()
    assert unaware.hook.raised == raised  # by now it has heard of it


def test_a_retry_elsewhere_is_not_missed(
    log: InMemoryEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it was parked a moment ago, its notice would be taken for one that is blocked."""
    unaware = Unaware(log, monkeypatch)
    assert unaware.notice() == Done()
    unaware.hook.mended = True
    request_retry(ParkedMessage, [the_row().pk])
    desk(log, unaware.ledger).retry()
    fill(log, "poison", "order-approved")
    assert unaware.notice() == Done()
    assert unaware.ledger.applied == {"a": 1, "poison": 2}


def test_a_message_that_comes_again_resolves_what_failed_elsewhere(
    log: InMemoryEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    unaware = Unaware(log, monkeypatch)
    ParkedMessage.objects.update(state=State.FAILING)
    unaware.hook.mended = True
    assert unaware.notice(redelivered=True) == Done()
    assert the_row().state == State.RESOLVED


def test_more_parked_messages_than_are_held_are_asked_for_each_time(
    log: InMemoryEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "KNOWN_SECONDS", 60)
    monkeypatch.setattr(parking, "MAX_KNOWN", 1)
    hook = Failing(ValueError("bad"), lambda event: True)
    for id_ in ("a", "b", "c"):
        fill(log, id_)
    other = desk(log, Ledger(hook))
    for _ in range(ATTEMPTS):
        handled(other, deliveries(log)[:2])
    work = desk(log, Ledger(hook))
    assert all_done(handled(work, deliveries(log)[:2]))
    raised = hook.raised
    for _ in range(ATTEMPTS):
        handled(other, deliveries(log)[2:])
    assert hook.raised > raised
    raised = hook.raised
    assert all_done(handled(work, deliveries(log)[2:]))
    assert hook.raised == raised
