"""An outage is no fault of a message: it is told apart, raised, and counts against nothing."""

from functools import partial
from threading import Barrier

import pytest
from django.db import OperationalError, connections, transaction

from eventstore.client import RetryLater, TransientError
from eventstore.client.events import Event
from eventstore.client.fibers import aside
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.outages import is_outage
from eventstore.client.subscribing.delivery import Done, Later
from payments.models import ParkedMessage, Payment
from tests.integration.desks import (
    Settled,
    all_done,
    conflict,
    deliveries,
    desk,
    fill,
    handled,
    reactor,
)
from tests.integration.handlers import Failing, Ledger, Reactions

pytest_plugins = ["tests.integration.messaging"]
pytestmark = pytest.mark.django_db(databases=["payments"], transaction=True)


@pytest.mark.parametrize("state", ["40001", "40P01", "23505"])
def test_a_conflict_with_another_worker_is_run_again(log: InMemoryEventStore, state: str) -> None:
    fill(log, "a")
    hook = Failing(conflict(state), lambda event: hook.raised < 3)
    ledger = Ledger(hook)
    assert all_done(handled(desk(log, ledger), deliveries(log)))
    assert ledger.applied == {"a": 1}
    assert ledger.calls == 4
    assert not ParkedMessage.objects.exists()


OUTAGES = {
    "the store": TransientError("away"),
    "the database": OperationalError("server closed the connection unexpectedly"),
    "a conflict without end": conflict(),
    "a full disk": conflict("53100"),
    "a statement timeout": conflict("57014"),
}


@pytest.mark.parametrize("error", OUTAGES.values(), ids=OUTAGES)
@pytest.mark.parametrize("kind", ["projector", "reactor"])
def test_an_outage_is_raised_and_counts_against_nothing(
    log: InMemoryEventStore, error: Exception, kind: str
) -> None:
    fill(log, "a")
    hook = Failing(error, lambda event: True)
    work = desk(log, Ledger(hook) if kind == "projector" else reactor(Reactions(hook)))
    settled = Settled()
    with pytest.raises(type(error)) as raised:
        work.handle(deliveries(log), settled)
    assert is_outage(raised.value)
    assert settled == {}
    assert not ParkedMessage.objects.exists()


def test_an_error_that_an_outage_caused_is_an_outage() -> None:
    error = ValueError("no order")
    error.__cause__ = OperationalError("gone")
    assert is_outage(error)


@pytest.mark.parametrize("state", ["54000", "22003", "42703"])
def test_an_error_that_the_statement_caused_is_no_outage(state: str) -> None:
    assert not is_outage(conflict(state))


def test_one_message_may_ask_for_more_time(log: InMemoryEventStore) -> None:
    for id_ in ("a", "slow"):
        fill(log, id_)
    slow = Failing(RetryLater(delay_seconds=7), lambda event: event.aggregate_id == "slow")
    for handler in (Ledger(slow), reactor(Reactions(slow))):
        settled = handled(desk(log, handler), deliveries(log))
        assert settled == {1: Done(), 2: Later(7)}
    assert not ParkedMessage.objects.exists()


def test_an_outage_for_one_message_does_not_hold_up_the_others(log: InMemoryEventStore) -> None:
    for id_ in ("stuck", "a", "b"):
        fill(log, id_)
    reactions = Reactions(
        Failing(TransientError("no"), lambda event: event.aggregate_id == "stuck")
    )
    work = desk(log, reactor(reactions))
    settled = Settled()
    for _ in range(2):
        settled.clear()
        with pytest.raises(TransientError):
            work.handle(deliveries(log), settled)
    assert settled == {2: Done(), 3: Done()}


def test_a_database_that_came_back_is_no_outage_for_what_is_done_aside(
    log: InMemoryEventStore,
) -> None:
    threads = 4
    together = Barrier(threads)

    def ask(event: Event) -> None:
        if event.aggregate_id.startswith("all"):
            together.wait(10)
        Payment.objects.exists()

    reactions = Reactions(lambda event: aside(partial(ask, event)))
    work = desk(log, reactor(reactions), threads=threads)
    for number in range(threads):
        fill(log, f"all-{number}")
    assert all_done(handled(work, deliveries(log)))
    with connections["payments"].cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert len(cursor.fetchall()) >= threads
    for number in range(2 * threads):
        begun = log.head().position
        for id_ in (f"{number}-a", f"{number}-b"):
            fill(log, id_)
        assert all_done(handled(work, deliveries(log)[begun:]))
    work.close()


def test_a_reaction_in_a_transaction_lets_no_other_take_part_in_it(
    log: InMemoryEventStore,
) -> None:
    inside: list[str] = []

    def react(event: Event) -> None:
        with transaction.atomic(using="payments"):
            inside.append(event.aggregate_id)
            aside(Payment.objects.exists)
            assert inside == [event.aggregate_id]
            inside.clear()

    for id_ in ("a", "b", "c"):
        fill(log, id_)
    work = desk(log, reactor(Reactions(react)), threads=2)
    assert all_done(handled(work, deliveries(log)))
    work.close()


def test_a_worker_that_is_stopped_leaves_the_rest_of_its_batch(log: InMemoryEventStore) -> None:
    for id_ in ("a", "b", "c"):
        fill(log, id_)
    reactions = Reactions()
    work = desk(log, reactor(reactions), stopping=lambda: len(reactions.seen) == 1)
    assert handled(work, deliveries(log)) == {1: Done()}
