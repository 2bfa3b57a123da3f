"""What a request to the sandbox may say: checked and normalised, or refused with a reason."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

MAX_AMOUNT = 10**12
MAX_PAGE = 1000
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_CURSOR = re.compile(r"[0-9]{1,18}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class InvalidParameter(Exception):
    """The request is wrong in itself; nothing was tried and nothing is stored under its key."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class ChargeParameters:
    amount: int
    currency: str
    token: str
    order_id: str


@dataclass(frozen=True, slots=True)
class RefundParameters:
    charge: str
    amount: int
    currency: str  # empty: that of the charge
    reason: str


def parse_json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request body; refuses duplicate keys, NaN and nesting without end."""
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise InvalidParameter("invalid_json", "The body is not valid JSON.") from error
    if not isinstance(value, dict):
        raise InvalidParameter("invalid_json", "The body must be a JSON object.")
    return value


def parse_charge(data: dict[str, Any]) -> ChargeParameters:
    _refuse_unknown(data, {"amount", "currency", "token", "order_id"})
    return ChargeParameters(
        amount=_amount(data.get("amount")),
        currency=_currency(data.get("currency")),
        token=_text("token", data.get("token", ""), 255),
        order_id=_text("order_id", data.get("order_id", ""), 255),
    )


def parse_refund(data: dict[str, Any]) -> RefundParameters:
    _refuse_unknown(data, {"charge", "amount", "currency", "reason"})
    charge = _text("charge", data.get("charge"), 255)
    if not charge:
        raise InvalidParameter("parameter_invalid", "charge must be given.")
    return RefundParameters(
        charge=charge,
        amount=_amount(data.get("amount")),
        currency=_currency(data["currency"]) if data.get("currency") else "",
        reason=_text("reason", data.get("reason", ""), 1000),
    )


def parse_key(value: str | None) -> str:
    if not value:
        raise InvalidParameter("idempotency_key_missing", "An idempotency key is required.")
    if not _KEY.fullmatch(value):
        raise InvalidParameter(
            "idempotency_key_invalid", "An idempotency key is 1 to 255 visible ASCII characters."
        )
    return value


def parse_cursor(value: str | None) -> int:
    if not value:
        return 0
    if not _CURSOR.fullmatch(value):
        raise InvalidParameter("parameter_invalid", "after must be a cursor from an earlier page.")
    return int(value)


def parse_limit(value: str | None) -> int:
    if value is None:
        return 100
    if not _CURSOR.fullmatch(value) or not 1 <= int(value) <= MAX_PAGE:
        raise InvalidParameter("parameter_invalid", f"limit must be between 1 and {MAX_PAGE}.")
    return int(value)


def fingerprint(parameters: ChargeParameters | RefundParameters) -> str:
    """What tells one request under a key from another: its kind and its normalised parameters."""
    values = [getattr(parameters, name) for name in parameters.__slots__]
    content = json.dumps([type(parameters).__name__, *values])
    return hashlib.sha256(content.encode()).hexdigest()


def _amount(value: object) -> int:
    if type(value) is not int or not 1 <= value <= MAX_AMOUNT:  # bool is an int to isinstance
        raise InvalidParameter(
            "amount_invalid",
            f"amount must be an integer of minor units between 1 and {MAX_AMOUNT}.",
        )
    return value


def _currency(value: object) -> str:
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
        raise InvalidParameter("currency_invalid", "currency must be three letters.")
    return value.upper()


def _text(name: str, value: object, limit: int) -> str:
    if not isinstance(value, str) or len(value) > limit or _CONTROL.search(value):
        raise InvalidParameter(
            "parameter_invalid",
            f"{name} must be text of at most {limit} characters without control characters.",
        )
    return value


def _refuse_unknown(data: dict[str, Any], known: set[str]) -> None:
    if not known.issuperset(data):
        raise InvalidParameter(
            "parameter_unknown", f"The parameters are {', '.join(sorted(known))} and no others."
        )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate key")
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
