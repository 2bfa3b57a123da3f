"""One suite for every payment gateway: the fake in memory, and HTTP against a sandbox process."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest

from payments.gateways.http import HttpGateway
from payments.gateways.memory import InMemoryGateway
from payments.gateways.port import (
    Charge,
    ChargeRequest,
    GatewayRejectedRequest,
    GatewayUnavailable,
    Movement,
    MovementKind,
    PaymentDeclined,
    PaymentGateway,
    RefundRequest,
)
from payments.gateways.sandbox.faults import CASES
from payments.gateways.sandbox.process import SandboxProcess

Answer = TypeVar("Answer")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    ledger = tmp_path_factory.mktemp("sandbox") / "ledger.sqlite3"
    with SandboxProcess(ledger, "a-key-for-tests", hang_seconds=3.0) as process:
        yield process


@pytest.fixture(params=["memory", "http"])
def gateway(request: pytest.FixtureRequest) -> Iterator[PaymentGateway]:
    if request.param == "memory":
        yield InMemoryGateway()
        return
    process = request.getfixturevalue("sandbox")
    with HttpGateway(process.url, process.api_key, timeout_seconds=1.0) as http:
        yield http


def a_charge(**changes: Any) -> ChargeRequest:
    key = str(uuid.uuid4())
    fields = {"order_id": f"order-{key}", "amount_minor": 1250, "currency": "EUR"}
    return ChargeRequest(**{"idempotency_key": key, **fields, **changes})


def by_token_and_amount(*tokens: str) -> list[dict[str, Any]]:
    """Both ways to ask for each trouble."""
    cases = [case for case in CASES if case.token in tokens]
    assert len(cases) == len(tokens)
    return [
        change
        for case in cases
        for change in ({"token": case.token}, {"amount_minor": case.amount})
    ]


def a_refund(charge: Charge, amount: int, **changes: Any) -> RefundRequest:
    fields = {"charge_reference": charge.reference, "amount_minor": amount, "currency": "EUR"}
    return RefundRequest(**{"idempotency_key": str(uuid.uuid4()), **fields, **changes})


def until_known(ask: Callable[[], Answer]) -> Answer:
    """Ask again, as payments does, while nothing is known."""
    deadline = time.monotonic() + 15
    while True:
        try:
            return ask()
        except GatewayUnavailable:
            if time.monotonic() > deadline:
                raise
            threading.Event().wait(0.02)


def movements(gateway: PaymentGateway, *keys: str) -> list[Movement]:
    """All movements under these keys, read page by page."""
    found: list[Movement] = []
    after = None
    while page := gateway.list_movements(after, limit=7):
        found += [movement for movement in page if movement.idempotency_key in keys]
        after = page[-1].cursor
    return found


def test_a_charge_takes_the_money_once_and_says_so(gateway: PaymentGateway) -> None:
    request = a_charge()
    charge = gateway.charge(request)
    assert (charge.amount_minor, charge.currency) == (1250, "EUR")
    assert abs((charge.created_at - datetime.now(UTC)).total_seconds()) < 60
    [movement] = movements(gateway, request.idempotency_key)
    assert movement.kind is MovementKind.CAPTURE
    assert movement.reference == movement.charge_reference == charge.reference
    assert (movement.amount_minor, movement.currency) == (1250, "EUR")
    assert movement.order_id == request.order_id
    assert movement.created_at == charge.created_at


def test_the_same_key_is_the_same_charge(gateway: PaymentGateway) -> None:
    request = a_charge()
    assert gateway.charge(request) == gateway.charge(request)
    assert len(movements(gateway, request.idempotency_key)) == 1


@pytest.mark.parametrize(
    "change",
    [{"amount_minor": 1251}, {"currency": "USD"}, {"order_id": "other"}, {"token": "tok_other"}],
)
def test_the_same_key_with_other_parameters_is_rejected(
    gateway: PaymentGateway, change: dict[str, Any]
) -> None:
    request = a_charge()
    charge = gateway.charge(request)
    with pytest.raises(GatewayRejectedRequest) as caught:
        gateway.charge(a_charge(idempotency_key=request.idempotency_key, **change))
    assert caught.value.code == "idempotency_key_reused"
    with pytest.raises(GatewayRejectedRequest):
        gateway.refund(a_refund(charge, 1250, idempotency_key=request.idempotency_key))
    assert len(movements(gateway, request.idempotency_key)) == 1


@pytest.mark.parametrize("token", ["", "tok_slow", "tok_timeout_charged", "tok_rate_limited"])
def test_many_at_once_under_one_key_are_one_capture(gateway: PaymentGateway, token: str) -> None:
    request = a_charge(token=token)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(until_known, lambda: gateway.charge(request)) for _ in range(8)]
        charges = {future.result() for future in asked}
    assert len(charges) == 1
    assert len(movements(gateway, request.idempotency_key)) == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"token": "tok_decline"}, "card_declined"),
        ({"amount_minor": 40002}, "card_declined"),
        ({"token": "tok_insufficient_funds"}, "insufficient_funds"),
        ({"amount_minor": 40003}, "insufficient_funds"),
    ],
)
def test_a_decline_is_final_and_moves_nothing(
    gateway: PaymentGateway, change: dict[str, Any], code: str
) -> None:
    request = a_charge(**change)
    for _ in range(3):
        with pytest.raises(PaymentDeclined) as caught:
            gateway.charge(request)
        assert caught.value.code == code
    assert gateway.find_charge(request.idempotency_key) is None
    assert movements(gateway, request.idempotency_key) == []


@pytest.mark.parametrize(
    "change",
    by_token_and_amount("tok_timeout_charged", "tok_reset_after_charge", "tok_error_500_charged"),
)
def test_a_charge_whose_reply_was_lost_is_found_and_never_made_twice(
    gateway: PaymentGateway, change: dict[str, Any]
) -> None:
    request = a_charge(**change)
    with pytest.raises(GatewayUnavailable):
        gateway.charge(request)
    found = until_known(lambda: gateway.find_charge(request.idempotency_key))
    assert found is not None
    assert gateway.charge(request) == found == gateway.charge(request)
    [movement] = movements(gateway, request.idempotency_key)
    assert movement.reference == found.reference


@pytest.mark.parametrize(
    "change",
    by_token_and_amount("tok_timeout_not_charged", "tok_error_500_once", "tok_rate_limited"),
)
def test_a_charge_that_was_not_made_is_made_when_asked_again(
    gateway: PaymentGateway, change: dict[str, Any]
) -> None:
    request = a_charge(**change)
    with pytest.raises(GatewayUnavailable):
        gateway.charge(request)
    assert gateway.find_charge(request.idempotency_key) is None
    charge = until_known(lambda: gateway.charge(request))
    assert gateway.find_charge(request.idempotency_key) == charge
    assert len(movements(gateway, request.idempotency_key)) == 1


@pytest.mark.parametrize("change", by_token_and_amount("tok_unavailable"))
def test_an_outage_is_never_an_answer(gateway: PaymentGateway, change: dict[str, Any]) -> None:
    request = a_charge(**change)
    for _ in range(5):
        with pytest.raises(GatewayUnavailable):
            gateway.charge(request)
    assert movements(gateway, request.idempotency_key) == []


@pytest.mark.parametrize("change", by_token_and_amount("tok_error_500"))
def test_a_stored_error_without_a_charge_ends_as_a_decline(
    gateway: PaymentGateway, change: dict[str, Any]
) -> None:
    request = a_charge(**change)
    with pytest.raises(GatewayUnavailable):
        gateway.charge(request)
    for _ in range(2):
        with pytest.raises(PaymentDeclined) as caught:
            gateway.charge(request)
        assert caught.value.code == "gateway_error"
    assert movements(gateway, request.idempotency_key) == []


def test_a_slow_charge_is_made_once(gateway: PaymentGateway) -> None:
    request = a_charge(amount_minor=40019)
    charge = until_known(lambda: gateway.charge(request))
    assert charge.amount_minor == 40019
    assert len(movements(gateway, request.idempotency_key)) == 1


def test_a_refund_gives_the_money_back_once(gateway: PaymentGateway) -> None:
    charge = gateway.charge(a_charge())
    request = a_refund(charge, 1250)
    refund = gateway.refund(request)
    assert gateway.refund(request) == refund == gateway.find_refund(request.idempotency_key)
    assert (refund.charge_reference, refund.amount_minor) == (charge.reference, 1250)
    [movement] = movements(gateway, request.idempotency_key)
    assert (movement.kind, movement.charge_reference) == (MovementKind.REFUND, charge.reference)
    assert movement.order_id.startswith("order-")


def test_refunds_never_exceed_their_capture(gateway: PaymentGateway) -> None:
    charge = gateway.charge(a_charge(amount_minor=1000))
    gateway.refund(a_refund(charge, 600))
    too_much = a_refund(charge, 401)
    for _ in range(2):
        with pytest.raises(GatewayRejectedRequest) as caught:
            gateway.refund(too_much)
        assert caught.value.code == "amount_too_large"
    gateway.refund(a_refund(charge, 400))
    with pytest.raises(GatewayRejectedRequest) as caught:
        gateway.refund(a_refund(charge, 1))
    assert caught.value.code == "charge_already_refunded"


def test_refunds_at_once_never_exceed_their_capture(gateway: PaymentGateway) -> None:
    charge = gateway.charge(a_charge(amount_minor=1000))
    requests = [a_refund(charge, 300) for _ in range(8)]

    def ask(request: RefundRequest) -> bool:
        try:
            until_known(lambda: gateway.refund(request))
        except GatewayRejectedRequest:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, requests)) == 3
    assert len(movements(gateway, *(request.idempotency_key for request in requests))) == 3


@pytest.mark.parametrize("amount", [40015, 40020])
def test_a_refund_in_trouble_is_made_once_when_asked_again(
    gateway: PaymentGateway, amount: int
) -> None:
    charge = gateway.charge(a_charge(amount_minor=amount))
    request = a_refund(charge, amount)
    with pytest.raises(GatewayUnavailable):
        gateway.refund(request)
    refund = until_known(lambda: gateway.refund(request))
    assert gateway.find_refund(request.idempotency_key) == refund
    assert len(movements(gateway, request.idempotency_key)) == 1


def test_a_refund_in_an_outage_is_never_an_answer(gateway: PaymentGateway) -> None:
    charge = gateway.charge(a_charge(token="tok_refund_unavailable"))
    for _ in range(5):
        with pytest.raises(GatewayUnavailable):
            gateway.refund(a_refund(charge, 1250))


@pytest.mark.parametrize(
    "change",
    [
        {"charge_reference": "ch_unknown"},
        {"currency": "USD"},
        {"amount_minor": 0},
        {"amount_minor": -1},
        {"reason": "a\x00b"},
    ],
)
def test_a_wrong_refund_is_rejected(gateway: PaymentGateway, change: dict[str, Any]) -> None:
    request = replace(a_refund(gateway.charge(a_charge()), 1250), **change)
    with pytest.raises(GatewayRejectedRequest):
        gateway.refund(request)
    assert gateway.find_refund(request.idempotency_key) is None


@pytest.mark.parametrize(
    "change",
    [
        {"amount_minor": 0},
        {"amount_minor": -5},
        {"amount_minor": True},
        {"amount_minor": 12.5},
        {"amount_minor": "12"},
        {"amount_minor": 10**13},
        {"currency": "EURO"},
        {"currency": ""},
        {"order_id": "a\nb"},
        {"order_id": "\ud800"},
        {"idempotency_key": ""},
        {"idempotency_key": "a b"},
        {"idempotency_key": "a\r\nX: y"},
        {"idempotency_key": "é"},
        {"idempotency_key": "k" * 256},
    ],
    ids=repr,
)
def test_a_wrong_charge_is_rejected_and_moves_nothing(
    gateway: PaymentGateway, change: dict[str, Any]
) -> None:
    request = a_charge(**change)
    with pytest.raises(GatewayRejectedRequest):
        gateway.charge(request)
    assert not any(m.order_id == request.order_id for m in gateway.list_movements(limit=1000))


def test_nothing_is_found_under_an_unknown_key(gateway: PaymentGateway) -> None:
    assert gateway.find_charge(str(uuid.uuid4())) is None
    assert gateway.find_refund(str(uuid.uuid4())) is None


def test_a_charge_is_not_found_as_a_refund(gateway: PaymentGateway) -> None:
    request = a_charge()
    gateway.charge(request)
    assert gateway.find_refund(request.idempotency_key) is None


def test_the_money_adds_up_in_order_and_page_by_page(gateway: PaymentGateway) -> None:
    requests = [a_charge(amount_minor=100 + n) for n in range(20)]
    charges = [gateway.charge(request) for request in requests]
    refunds = [a_refund(charge, 50) for charge in charges[:5]]
    for refund in refunds:
        gateway.refund(refund)
    keys = [request.idempotency_key for request in (*requests, *refunds)]
    made = movements(gateway, *keys)
    assert [movement.idempotency_key for movement in made] == keys
    taken = sum(m.amount_minor for m in made if m.kind is MovementKind.CAPTURE)
    given = sum(m.amount_minor for m in made if m.kind is MovementKind.REFUND)
    assert (taken, given) == (sum(range(100, 120)), 250)


@pytest.mark.parametrize(("after", "limit"), [("x", 10), ("-1", 10), (None, 0), (None, 1001)])
def test_a_wrong_page_is_rejected(gateway: PaymentGateway, after: str | None, limit: int) -> None:
    with pytest.raises(GatewayRejectedRequest):
        gateway.list_movements(after, limit)
