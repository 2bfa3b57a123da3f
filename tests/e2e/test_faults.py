"""Parts killed, a broker gone and wiped, in the middle of orders: nothing lost, nothing twice."""

import shutil
import threading
from collections.abc import Callable

import pytest

from tests.e2e import invariants
from tests.e2e.system import System, eventually

PARTS = (
    "web",
    "eventstore",
    "subscribe_payments",
    "subscribe_restaurant",
    "subscribe_ordering",
    "orderquery-store1",
    "worker",
    "gateway",
)


def orders_while(system: System, fault: Callable[[], None], count: int = 12) -> list[str]:
    """Place orders one after another and let the fault happen in their midst."""
    placed: list[str] = []
    third = threading.Event()

    def strike() -> None:
        assert third.wait(60)
        fault()

    striking = threading.Thread(target=strike)
    striking.start()
    for number in range(count):
        placed.append(system.place(f"{10 + number}.00"))
        if number == count // 3:
            third.set()
    striking.join()
    return placed


def all_approved(system: System, orders: list[str]) -> None:
    for order_id in orders:
        system.reaches(order_id, "approved", "debited", seconds=120)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_killed_in_the_middle_loses_and_repeats_nothing(system: System, part: str) -> None:
    pid = system.pid(part)
    orders = orders_while(system, lambda: system.kill(part))
    all_approved(system, orders)
    eventually(lambda: system.pid(part) not in (0, pid), f"{part} runs again")


@pytest.mark.parametrize("server", ["nats", "postgres", "valkey"])
def test_a_server_killed_in_the_middle_loses_and_repeats_nothing(
    system: System, server: str
) -> None:
    pid = system.pid(server)
    orders = orders_while(system, lambda: system.kill(server))
    all_approved(system, orders)
    eventually(lambda: system.pid(server) not in (0, pid), f"{server} runs again")


def test_a_wiped_broker_is_filled_again_from_the_log(system: System) -> None:
    def wipe() -> None:
        system.kill("nats")
        shutil.rmtree(system.data_dir / "nats" / "jetstream", ignore_errors=True)

    assert (system.data_dir / "nats" / "jetstream").is_dir()
    orders = orders_while(system, wipe)
    all_approved(system, orders)


def test_after_all_faults_every_invariant_holds(system: System) -> None:
    system.reaches(system.place(), "approved", "debited")
    events = system.log()
    invariants.check_log(events)
    invariants.check_causes(events)
    invariants.check_orders(events)
    invariants.check_money(events, system.movements())
    for order_id, order in invariants.by_order(events).items():
        # What is newer than the program is parked, and the row waits for a newer program.
        readable = [event for event in order if event.context.get("schema_version", 1) == 1]
        assert system.order(order_id)["version"] == len(readable)
    verified = system.manage("verify_queries")
    assert verified.returncode == 0, verified.stdout + verified.stderr
