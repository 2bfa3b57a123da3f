"""Taking payments through the HTTP adapter at a sandbox process that is slow, or gone."""

from collections.abc import Iterator
from functools import partial

import pytest

from eventstore.client import Event, RetryLater
from eventstore.client.memory import InMemoryEventStore
from orders_site.embedded.ports import free_port
from payments.gateways.http import HttpGateway
from payments.gateways.sandbox.process import SandboxProcess
from payments.handlers import refund_payment, take_payment
from payments.outages import GatewayAway
from tests import order_events
from tests.together import eventually, together

pytestmark = pytest.mark.django_db(databases=["payments"], transaction=True)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    ledger = tmp_path_factory.mktemp("payments") / "ledger.sqlite3"
    with SandboxProcess(ledger, "a-key-for-tests") as process:
        yield process


def test_a_charge_in_progress_is_waited_for_and_made_once(sandbox: SandboxProcess) -> None:
    store = InMemoryEventStore()
    created = order_events.place(store, amount="400.19")

    def worker(gateway: HttpGateway) -> bool:
        try:
            take_payment(created, store=store, gateway=gateway)
        except RetryLater:
            return False
        return True

    with HttpGateway(sandbox.url, sandbox.api_key) as gateway:
        first = together([partial(worker, gateway)] * 3)
        assert first.count(True) == 1
        eventually(lambda: worker(gateway))
        movements = gateway.list_movements()
    assert [each.order_id for each in movements].count(created.aggregate_id) == 1
    assert order_events.types(store, created.aggregate_id)[1:] == ["order-payment-debited"]


def test_a_gateway_that_is_gone_is_an_outage_and_not_one_orders_trouble() -> None:
    store = InMemoryEventStore()
    created = order_events.place(store)
    with HttpGateway(f"http://127.0.0.1:{free_port()}", "a-key-for-tests") as gateway:
        with pytest.raises(GatewayAway):
            take_payment(created, store=store, gateway=gateway)
    assert order_events.types(store, created.aggregate_id) == ["order-created"]


def test_a_gateway_that_refuses_our_key_is_an_outage(sandbox: SandboxProcess) -> None:
    store = InMemoryEventStore()
    with HttpGateway(sandbox.url, "another-key") as gateway:
        with pytest.raises(GatewayAway, match="API key"):
            take_payment(order_events.place(store), store=store, gateway=gateway)


def test_a_closed_order_is_refunded_over_http(sandbox: SandboxProcess) -> None:
    store = InMemoryEventStore()
    with HttpGateway(sandbox.url, sandbox.api_key) as gateway:
        created: Event = order_events.place(store)
        take_payment(created, store=store, gateway=gateway)
        closed = order_events.cancel(store, created.aggregate_id)
        refund_payment(closed, store=store, gateway=gateway)
        movements = gateway.list_movements()
    made = [each.kind for each in movements if each.order_id == created.aggregate_id]
    assert made == ["capture", "refund"]
    assert order_events.types(store, created.aggregate_id)[-1] == "order-payment-refunded"
