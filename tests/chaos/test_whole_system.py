"""The whole system in a storm: parts killed and frozen while orders are placed; then all holds."""

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from random import Random

import pytest

from tests.chaos.calamities import Calamities
from tests.chaos.customers import ORDINARY, SLOW_TO_SETTLE, TROUBLED, Customer, Request
from tests.chaos.judging import judge, wait_until_quiet
from tests.chaos.observing import Observer
from tests.chaos.plan import Plan
from tests.chaos.weighing import check_weights, weigh
from tests.e2e.system import System, eventually

pytest_plugins = ["tests.chaos.telling"]

CUSTOMERS = 4
STORM_SECONDS = 20
# What a storm of the short form is made of; in the long form the dice choose.
SHORT_STORM = (
    "kill subscribe_payments",
    "kill eventstore",
    "wipe nats",
    "freeze postgres",
    "kill orderquery-store1",
)
ORDERS_BETWEEN = 8
ORDERS_IN_PEACE = 40
# The longest deadline, the time a lost charge may be on its way, and a minute (I3).
QUIET_SECONDS = 240


@pytest.fixture(scope="module")
def stormy(request: pytest.FixtureRequest) -> Iterator[System]:
    """A system of its own, with deadlines that pass while one looks on."""
    system = System(
        PAYMENT_DEADLINE_SECONDS="25",
        APPROVAL_DEADLINE_SECONDS="6",
        REFUND_DEADLINE_SECONDS="200",
        SWEEP_INTERVAL_SECONDS="1",
        GATEWAY_TIMEOUT_SECONDS="1",
    )
    try:
        system.start()
        yield system
        assert system.stop() == 0
        assert system.processes() == []
    finally:
        for process in system.processes():
            process.kill()
        if request.session.testsfailed:
            print(f"the logs are in {system.data_dir}")
        else:
            shutil.rmtree(system.data_dir, ignore_errors=True)


@pytest.mark.timeout(6 * 3600)
def test_after_a_storm_every_invariant_holds(stormy: System, chaos: Plan) -> None:
    calamities = Calamities(stormy, chaos.dice)
    observer = Observer(stormy)
    try:
        requests = requests_in_peace(stormy, chaos)
        wait_until_quiet(stormy, QUIET_SECONDS)
        base = weigh(stormy)
        for number in range(chaos.rounds(1)):
            requests += requests_of_a_storm(stormy, chaos, calamities)
            seconds = wait_until_quiet(stormy, QUIET_SECONDS)
            log = judge(stormy, requests)
            observer.check(log)
            check_weights(stormy, base)
            chaos.tell(
                f"storm {number + 1}: {sum(calamities.happened.values())} calamities, quiet "
                f"{seconds:.0f} s after healing, {len(log)} events, "
                f"{sum(bool(request.answers) for request in requests)} orders acknowledged"
            )
    finally:
        observer.stop()
    ends = Counter(event.event_type for event in log)
    chaos.tell(f"{dict(calamities.happened)}; {dict(ends)}")


def requests_in_peace(system: System, chaos: Plan) -> list[Request]:
    """Have customers order until every part has opened what it works with; what they asked for."""
    with customers(system, chaos, ORDINARY, ORDINARY) as asked:
        until_more_orders(asked, ORDERS_IN_PEACE)
    return asked()


def requests_of_a_storm(system: System, chaos: Plan, calamities: Calamities) -> list[Request]:
    """Have customers order in the midst of calamities; all that they asked for."""
    prices = ORDINARY * 2 + TROUBLED + (SLOW_TO_SETTLE if chaos.is_long else ())
    with customers(system, chaos, prices, prices if chaos.is_long else ORDINARY) as asked:
        try:
            if chaos.is_long:
                calamities.storm(STORM_SECONDS)
            else:
                for name in SHORT_STORM:
                    until_more_orders(asked, ORDERS_BETWEEN)
                    calamities.strike(name)
        finally:
            calamities.heal()
    return asked()


@contextmanager
def customers(
    system: System, chaos: Plan, prices: Sequence[str], cancels: Collection[str]
) -> Iterator[Callable[[], list[Request]]]:
    """Customers who order all the time; the function tells what they have asked for."""
    ordering = [
        Customer(system, Random(chaos.dice.random()), prices=prices, cancels=cancels)
        for _ in range(CUSTOMERS)
    ]
    try:
        yield lambda: [request for customer in ordering for request in customer.requests]
    finally:
        for customer in ordering:
            customer.stop()
    assert [line for customer in ordering for line in customer.complaints] == []


def until_more_orders(asked: Callable[[], list[Request]], number: int) -> None:
    wanted = len(asked()) + number
    eventually(lambda: len(asked()) >= wanted, "more orders")
