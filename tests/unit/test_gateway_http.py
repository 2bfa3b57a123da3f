"""What the HTTP adapter makes of each answer, and of none."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from payments.gateways.exchanges import NoReply, Reply
from payments.gateways.http import HttpGateway
from payments.gateways.port import (
    ChargeRequest,
    GatewayRefusedCredentials,
    GatewayRejectedRequest,
    GatewayUnavailable,
    PaymentDeclined,
    RefundRequest,
)

CHARGE = ChargeRequest(idempotency_key="k", order_id="o", amount_minor=500, currency="EUR")
REFUND = RefundRequest(
    idempotency_key="r", charge_reference="ch_1", amount_minor=500, currency="EUR"
)
MADE = {
    "id": "ch_1",
    "charge": "ch_1",
    "amount": 500,
    "currency": "EUR",
    "created_at": "2026-01-02T03:04:05+00:00",
}
ERROR = {"error": {"type": "t", "code": "the_code", "message": "The message."}}
REPLAYED = {"Idempotent-Replayed": "true"}


@dataclass(frozen=True)
class Asked:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None


class Scripted:
    """Exchanges that are answered by a function."""

    def __init__(self, answer: Callable[[Asked], Reply]) -> None:
        self._answer = answer

    def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Reply:
        return self._answer(Asked(method, target, headers, body))

    def close(self) -> None:
        pass


def gateway_that(answer: Callable[[Asked], Reply]) -> HttpGateway:
    return HttpGateway("http://gateway.test", "key", exchanges=Scripted(answer))


def replied(status: int, document: Any, **headers: str) -> Reply:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Reply(status, {name.lower(): value for name, value in headers.items()}, content)


def answering(status: int, document: Any = ERROR, **headers: str) -> HttpGateway:
    return gateway_that(lambda asked: replied(status, document, **headers))


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 302, 204])
def test_what_says_nothing_about_the_money_is_unavailable(status: int) -> None:
    with pytest.raises(GatewayUnavailable):
        answering(status).charge(CHARGE)


@pytest.mark.parametrize("status", [200, 401, 402, 404, 422, 500])
def test_an_answer_of_somebody_else_is_unavailable(status: int) -> None:
    for document in (b"<html>proxy</html>", b"\xff", [], {"error": "x"}, {}, {"id": "ch_1"}):
        with pytest.raises(GatewayUnavailable):
            answering(status, document).charge(CHARGE)


@pytest.mark.parametrize("status", [400, 404, 413, 415, 422])
def test_a_refusal_is_a_rejected_request(status: int) -> None:
    with pytest.raises(GatewayRejectedRequest) as caught:
        answering(status).charge(CHARGE)
    assert (caught.value.code, caught.value.reason) == ("the_code", "The message.")


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_have_their_own_class(status: int) -> None:
    with pytest.raises(GatewayRefusedCredentials):
        answering(status).find_charge("k")


def test_a_decline_is_a_decline() -> None:
    with pytest.raises(PaymentDeclined) as caught:
        answering(402).charge(CHARGE)
    assert (caught.value.code, caught.value.reason) == ("the_code", "The message.")


@pytest.mark.parametrize(("text", "seconds"), [("3", 3.0), ("soon", None), ("-1", None)])
def test_retry_after_is_passed_on(text: str, seconds: float | None) -> None:
    with pytest.raises(GatewayUnavailable) as caught:
        answering(429, ERROR, **{"Retry-After": text}).charge(CHARGE)
    assert caught.value.retry_after == seconds


def test_no_answer_is_unavailable_after_a_single_request() -> None:
    seen = []

    def fail(asked: Asked) -> Reply:
        seen.append(asked)
        raise NoReply("TimeoutError at /v1/charges")

    with pytest.raises(GatewayUnavailable):
        gateway_that(fail).charge(CHARGE)
    assert len(seen) == 1


def stored_error(found: list[Any], look_up_status: int = 200) -> HttpGateway:
    def answer(asked: Asked) -> Reply:
        if asked.method == "POST":
            return replied(500, ERROR, **REPLAYED)
        return replied(look_up_status, {"data": found})

    return gateway_that(answer)


def test_a_replayed_error_is_settled_by_the_look_up() -> None:
    assert stored_error([MADE]).charge(CHARGE).reference == "ch_1"
    assert stored_error([MADE]).refund(REFUND).reference == "ch_1"
    with pytest.raises(PaymentDeclined, match="gateway_error"):
        stored_error([]).charge(CHARGE)
    with pytest.raises(GatewayRejectedRequest, match="gateway_error"):
        stored_error([]).refund(REFUND)


@pytest.mark.parametrize("status", [409, 429, 500, 503])
def test_a_replayed_error_stays_unknown_while_the_look_up_fails(status: int) -> None:
    with pytest.raises(GatewayUnavailable):
        stored_error([], status).charge(CHARGE)
    with pytest.raises(GatewayUnavailable):
        stored_error([], status).refund(REFUND)


def test_the_request_carries_key_and_credentials() -> None:
    def answer(asked: Asked) -> Reply:
        assert (asked.method, asked.target) == ("POST", "/v1/charges")
        assert asked.headers["Idempotency-Key"] == "k"
        assert asked.headers["Authorization"] == "Bearer key"
        assert json.loads(asked.body or b"") == {
            "amount": 500,
            "currency": "EUR",
            "token": "",
            "order_id": "o",
        }
        return replied(200, MADE)

    assert gateway_that(answer).charge(CHARGE).amount_minor == 500
