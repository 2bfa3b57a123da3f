"""The adapter to a gateway that speaks the sandbox's HTTP API; it never tries again by itself."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, Self
from urllib.parse import urlencode

from eventstore.client.fibers import aside
from payments.gateways.exchanges import Exchanges, HttpExchanges, NoReply, Reply
from payments.gateways.port import (
    Charge,
    ChargeRequest,
    GatewayRefusedCredentials,
    GatewayRejectedRequest,
    GatewayUnavailable,
    Movement,
    MovementKind,
    PaymentDeclined,
    Refund,
    RefundRequest,
)

_TRANSIENT = {408, 409, 425, 429}


class _StoredServerError(Exception):
    """A 5xx is stored under this key: the provider will answer it for ever, whatever it did."""


class HttpGateway:
    """Threads may share it. `timeout_seconds` bounds each wait for the network; `exchanges` asks
    the server in another way than over HTTP/1.1.

    Only an answer in the gateway's own shape counts as one; anything else (an HTML page of a
    proxy, a reset, a timeout, an unknown status) says nothing about the money and is
    `GatewayUnavailable`.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        timeout_seconds: float = 5.0,
        *,
        exchanges: Exchanges | None = None,
    ) -> None:
        self._exchanges = exchanges or HttpExchanges(base_url, timeout_seconds)
        self._headers = {"Authorization": f"Bearer {api_key}", "Accept": "application/json"}

    def charge(self, request: ChargeRequest) -> Charge:
        """As in the port; a stored server error is settled by looking the charge up.

        The first 5xx tells nothing: `GatewayUnavailable`, and the caller asks again. A *replayed*
        5xx tells that this key has had its only execution. The look-up reads the ledger, which that
        execution wrote in the same transaction as the stored answer, so it is final: either the
        charge is there and the payment succeeded, or this key never took money and never will:
        declined as `gateway_error`. (A provider whose look-up lags behind its ledger needs an
        adapter that waits instead.)
        """
        payload = {
            "amount": request.amount_minor,
            "currency": request.currency,
            "token": request.token,
            "order_id": request.order_id,
        }
        try:
            return _charge(self._post("/v1/charges", request.idempotency_key, payload))
        except _StoredServerError:
            if found := self.find_charge(request.idempotency_key):
                return found
            raise PaymentDeclined(
                "gateway_error", "The provider failed and will not execute this payment."
            ) from None

    def refund(self, request: RefundRequest) -> Refund:
        """As in the port; a stored server error is settled by looking the refund up."""
        payload = {
            "charge": request.charge_reference,
            "amount": request.amount_minor,
            "currency": request.currency,
            "reason": request.reason,
        }
        try:
            return _refund(self._post("/v1/refunds", request.idempotency_key, payload))
        except _StoredServerError:
            if found := self.find_refund(request.idempotency_key):
                return found
            raise GatewayRejectedRequest(
                "gateway_error", "The provider failed and will not execute this refund."
            ) from None

    def find_charge(self, idempotency_key: str) -> Charge | None:
        found = self._get("/v1/charges", {"idempotency_key": idempotency_key})
        return next(map(_charge, _data(found)), None)

    def find_refund(self, idempotency_key: str) -> Refund | None:
        found = self._get("/v1/refunds", {"idempotency_key": idempotency_key})
        return next(map(_refund, _data(found)), None)

    def list_movements(self, after: str | None = None, limit: int = 100) -> tuple[Movement, ...]:
        page = self._get("/v1/movements", {"after": after or "", "limit": str(limit)})
        return tuple(map(_movement, _data(page)))

    def close(self) -> None:
        self._exchanges.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _post(self, path: str, key: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        if not key.isascii() or not key.isprintable():
            raise GatewayRejectedRequest("idempotency_key_invalid", "It must be visible ASCII.")
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        return self._ask("POST", path, headers, json.dumps(payload).encode())

    def _get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        return self._ask("GET", f"{path}?{urlencode(query)}", {}, None)

    def _ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> dict[str, Any]:
        try:
            reply = aside(
                partial(self._exchanges.ask, method, target, {**self._headers, **headers}, body)
            )
        except NoReply as silence:
            raise GatewayUnavailable(str(silence)) from silence
        document = _document(reply)
        if reply.status == 200:
            return document
        raise _error(reply, document)


def _document(reply: Reply) -> dict[str, Any]:
    try:
        document = json.loads(reply.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise GatewayUnavailable(f"HTTP {reply.status} without JSON", _retry_after(reply))
    return document


def _error(reply: Reply, document: Mapping[str, Any]) -> Exception:
    status = reply.status
    error = document.get("error")
    if status >= 500 and reply.headers.get("idempotent-replayed") == "true":
        return _StoredServerError()
    if status in _TRANSIENT or not 400 <= status < 500 or not isinstance(error, dict):
        return GatewayUnavailable(f"HTTP {status}", _retry_after(reply))
    code, reason = str(error.get("code", "unknown")), str(error.get("message", ""))
    if status == 402:
        return PaymentDeclined(code, reason)
    if status in (401, 403):
        return GatewayRefusedCredentials(code, reason)
    return GatewayRejectedRequest(code, reason)


def _retry_after(reply: Reply) -> float | None:
    text = reply.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdecimal() else None


def _data(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    data = document.get("data")
    if not isinstance(data, list):
        raise GatewayUnavailable("HTTP 200 of an unknown shape")
    return data


def _charge(document: Mapping[str, Any]) -> Charge:
    with _known_shape():
        return Charge(
            reference=str(document["id"]),
            amount_minor=int(document["amount"]),
            currency=str(document["currency"]),
            created_at=datetime.fromisoformat(document["created_at"]),
        )


def _refund(document: Mapping[str, Any]) -> Refund:
    with _known_shape():
        return Refund(
            reference=str(document["id"]),
            charge_reference=str(document["charge"]),
            amount_minor=int(document["amount"]),
            currency=str(document["currency"]),
        )


def _movement(document: Mapping[str, Any]) -> Movement:
    with _known_shape():
        return Movement(
            cursor=str(document["cursor"]),
            kind=MovementKind(document["kind"]),
            reference=str(document["reference"]),
            charge_reference=str(document["charge"]),
            amount_minor=int(document["amount"]),
            currency=str(document["currency"]),
            idempotency_key=str(document["idempotency_key"]),
            order_id=str(document["order_id"]),
            created_at=datetime.fromisoformat(document["created_at"]),
        )


@contextmanager
def _known_shape() -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise GatewayUnavailable("HTTP 200 of an unknown shape") from error
