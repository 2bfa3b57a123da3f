"""All reactions at once, on dice: however notices come and calls fail, money and rows follow."""

from collections import Counter
from io import StringIO
from random import Random
from typing import Any

import pytest
from django.core.management import call_command

from eventstore.client.subscribing import prefetched
from orders_site.ordering.models import OrderSaga
from payments.gateways.memory import InMemoryGateway
from payments.models import Payment, Refund
from restaurant.models import Ticket
from tests.chaos.plan import Plan
from tests.chaos.simulation import Simulation
from tests.e2e.invariants import by_order, check_money, check_orders

pytest_plugins = ["tests.chaos.telling"]
pytestmark = [
    pytest.mark.django_db(databases=["default", "payments", "restaurant"], transaction=True),
    pytest.mark.timeout(3600),
]

ORDERS = 40
# What a ticket shows, by the order's last event; money may move after it.
TICKETS = {
    "order-payment-debited": "open",
    "order-approved": "approved",
    "order-rejected": "rejected",
    "order-cancelled": "closed",
}
ENDS = {"order-approved": "completed", "order-rejected": "closed", "order-cancelled": "closed"}


@pytest.mark.parametrize("number", range(2))
def test_however_notices_come_and_calls_fail_money_and_rows_follow_the_log(
    number: int, chaos: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(chaos.rounds(1)):
        # How old a history may be that was read ahead; the product's own figure among them.
        monkeypatch.setattr(prefetched, "FRESH_SECONDS", chaos.dice.choice([0.01, 1.0, 5.0]))
        simulation = Simulation(Random(chaos.dice.random()))
        call_command("create_demo_restaurants", stdout=StringIO(), skip_checks=True)
        with simulation.working():
            simulation.order(ORDERS)
            simulation.settled()
        assert not simulation.errors, simulation.errors[0]
        log = list(simulation.log.read_stream())
        check_orders(log)
        check_money(log, movements(simulation.gateway))
        for order_id, order in by_order(log).items():
            types = [event.event_type for event in order]
            check_payment(order_id, types)
            check_ticket(order_id, types)
            check_saga(order_id, types)
        ends = Counter(event.event_type for event in log)
        assert ends["order-payment-refunded"]
        assert simulation.happened["Unavailable"]
        chaos.tell(f"{dict(simulation.happened)}; {dict(ends)}")


def movements(gateway: InMemoryGateway) -> list[dict[str, Any]]:
    """What the gateway's own ledger has."""
    return [
        {
            "kind": move.kind.value,
            "order_id": move.order_id,
            "amount": move.amount_minor,
            "currency": move.currency,
        }
        for move in (*gateway.captures, *gateway.refunds)
    ]


def check_payment(order_id: str, types: list[str]) -> None:
    """One payment at most, which shows how the charge ended; a refund where there was one."""
    states = list(Payment.objects.filter(order_id=order_id).values_list("state", flat=True))
    refunds = list(Refund.objects.filter(order_id=order_id).values_list("state", flat=True))
    if "order-payment-refunded" in types:
        assert (states, refunds) == (["refunded"], ["refunded"]), types
    elif "order-payment-debited" in types:
        assert (states, refunds) == (["debited"], []), types
    elif "order-payment-failed" in types:
        assert (states, refunds) == (["failed"], []), types
    else:
        assert (states, refunds) in (([], []), (["abandoned"], [])), types


def check_ticket(order_id: str, types: list[str]) -> None:
    """A ticket shows the order's state; there is one for each order that waits or was approved."""
    ticket = Ticket.objects.filter(order_id=order_id).first()
    last = [type_ for type_ in types if type_ in TICKETS][-1:]
    end = [type_ for type_ in types if type_ in ENDS] or last
    if ticket is not None:
        assert ticket.state == TICKETS[end[0]], types
    else:
        assert end not in (["order-payment-debited"], ["order-approved"]), types


def check_saga(order_id: str, types: list[str]) -> None:
    """The saga has seen the order's last event, and has a deadline as long as it waits."""
    row = OrderSaga.objects.get(order_id=order_id)
    end = [ENDS[type_] for type_ in types if type_ in ENDS]
    assert row.version == len(types), types
    assert (row.deadline is None) == bool(end), types
    assert not end or row.state == end[0], (row.state, types)
