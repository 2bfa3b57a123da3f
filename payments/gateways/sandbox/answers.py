"""What the sandbox answers: status, JSON body, and whether it reaches the client."""

import json
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from payments.gateways.sandbox.ledger import Entry


class Delivery(Enum):
    REPLY = auto()
    HANG = auto()
    RESET = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str
    headers: tuple[tuple[str, str], ...] = ()
    delivery: Delivery = Delivery.REPLY


def success(document: dict[str, Any]) -> Answer:
    return Answer(200, json.dumps(document))


def failure(
    status: int, kind: str, code: str, message: str, headers: tuple[tuple[str, str], ...] = ()
) -> Answer:
    document = {"error": {"type": kind, "code": code, "message": message}}
    return Answer(status, json.dumps(document), headers)


def invalid(code: str, message: str, status: int = 400) -> Answer:
    return failure(status, "invalid_request_error", code, message)


def missing(what: str) -> Answer:
    return invalid("resource_missing", f"There is no such {what}.", 404)


def server_error() -> Answer:
    return failure(500, "api_error", "internal_error", "Something went wrong on our side.")


def unavailable() -> Answer:
    return failure(
        503, "api_error", "unavailable", "The service is unavailable.", (("Retry-After", "1"),)
    )


def rate_limited() -> Answer:
    return failure(
        429, "rate_limit_error", "rate_limit", "Too many requests.", (("Retry-After", "1"),)
    )


def in_progress() -> Answer:
    return failure(
        409,
        "idempotency_error",
        "in_progress",
        "A request with this idempotency key is still being executed.",
    )


def key_reused() -> Answer:
    return failure(
        422,
        "idempotency_error",
        "idempotency_key_reused",
        "This idempotency key was used with other parameters.",
    )


def charge_document(entry: Entry, refunded: int) -> dict[str, Any]:
    return {
        "id": entry.reference,
        "object": "charge",
        "amount": entry.amount,
        "amount_refunded": refunded,
        "currency": entry.currency,
        "order_id": entry.order_id,
        "created_at": entry.created_at,
    }


def refund_document(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.reference,
        "object": "refund",
        "charge": entry.charge,
        "amount": entry.amount,
        "currency": entry.currency,
        "reason": entry.reason,
        "created_at": entry.created_at,
    }


def movement_document(entry: Entry) -> dict[str, Any]:
    return {
        "cursor": str(entry.sequence),
        "object": "movement",
        "kind": entry.kind,
        "reference": entry.reference,
        "charge": entry.charge,
        "amount": entry.amount,
        "currency": entry.currency,
        "idempotency_key": entry.idempotency_key,
        "order_id": entry.order_id,
        "created_at": entry.created_at,
    }
