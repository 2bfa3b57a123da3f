"""What the gateway in memory offers beyond the port: its ledger for assertions, and threads."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from payments.gateways.memory import InMemoryGateway
from payments.gateways.port import ChargeRequest, RefundRequest

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def eager_switches() -> Iterator[None]:
    """Threads change places as often as the interpreter allows."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def charge_request(key: str) -> ChargeRequest:
    return ChargeRequest(idempotency_key=key, order_id="o", amount_minor=500, currency="EUR")


def test_captures_and_refunds_can_be_asserted() -> None:
    gateway = InMemoryGateway(clock=lambda: NOW)
    charge = gateway.charge(charge_request("k"))
    assert charge.created_at == NOW
    gateway.refund(
        RefundRequest(
            idempotency_key="r",
            charge_reference=charge.reference,
            amount_minor=200,
            currency="EUR",
        )
    )
    assert [capture.amount_minor for capture in gateway.captures] == [500]
    assert [refund.amount_minor for refund in gateway.refunds] == [200]


@pytest.mark.usefixtures("eager_switches")
def test_threads_share_it() -> None:
    gateway = InMemoryGateway()
    keys = [f"key-{number // 8}" for number in range(1600)]
    with ThreadPoolExecutor(8) as pool:
        charges = list(pool.map(lambda key: gateway.charge(charge_request(key)), keys))
    assert len({charge.reference for charge in charges}) == len(gateway.captures) == 200
