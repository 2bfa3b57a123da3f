"""The port through which payments moves money; `tests/contract/test_payment_gateways.py` binds it.

The rule of this port: an adapter never says "failed" without knowing. `PaymentDeclined` is
knowledge: no money moved under this key, and none will. `GatewayRejectedRequest` is knowledge: this
request moved nothing. `GatewayUnavailable` is the lack of it: money may or may not have moved, and
the way to find out is to ask again with the SAME key. It waits for its provider `aside`, since the
reactions to other orders go on meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeRequest:
    """Take `amount_minor` (minor units, positive) of `currency` (ISO 4217) for one order.

    The idempotency key names the payment: the same key never takes money twice, so it is derived
    from what is paid for and never made anew for a retry. `token` is the payment method; empty
    means the default one.
    """

    idempotency_key: str
    order_id: str
    amount_minor: int
    currency: str
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """Money that was taken; `reference` is the provider's name for it."""

    reference: str
    amount_minor: int
    currency: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """Give back `amount_minor` of a charge: all of it or a part, never more than is left of it."""

    idempotency_key: str
    charge_reference: str
    amount_minor: int
    currency: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money that was given back."""

    reference: str
    charge_reference: str
    amount_minor: int
    currency: str


class MovementKind(StrEnum):
    CAPTURE = "capture"
    REFUND = "refund"


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """One line of the provider's ledger; pass `cursor` as `after` to read on behind it."""

    cursor: str
    kind: MovementKind
    reference: str
    charge_reference: str
    amount_minor: int
    currency: str
    idempotency_key: str
    order_id: str
    created_at: datetime


class PaymentDeclined(Exception):
    """The provider declined the payment for good; no money moved or will under this key."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{self.__doc__} {code}: {reason}")
        self.code = code
        self.reason = reason


class GatewayUnavailable(Exception):
    """Whether money moved is not known; ask again with the same idempotency key."""

    def __init__(self, detail: str, retry_after: float | None = None) -> None:
        super().__init__(f"{self.__doc__} {detail}")
        self.detail = detail
        self.retry_after = retry_after


class GatewayRejectedRequest(Exception):
    """The provider refused the request as wrong; it moved no money, and never will as it is."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{self.__doc__} {code}: {reason}")
        self.code = code
        self.reason = reason


class GatewayRefusedCredentials(GatewayRejectedRequest):
    """The provider does not accept our API key; no request can succeed until it is put right."""


class PaymentGateway(Protocol):
    """Every method may raise `GatewayUnavailable` or `GatewayRejectedRequest`."""

    def charge(self, request: ChargeRequest) -> Charge:
        """Take the money once for this key, or return the charge that was made under it.

        Raises `PaymentDeclined` when the answer is no, now and for ever. The same key with other
        parameters is a `GatewayRejectedRequest`.
        """
        ...

    def refund(self, request: RefundRequest) -> Refund:
        """Give the money back once for this key, or return the refund that was made under it."""
        ...

    def find_charge(self, idempotency_key: str) -> Charge | None:
        """The charge made under this key, None while there is none.

        A request still on its way can yet make one, so None alone never means "failed"; charging
        again with the same key settles it.
        """
        ...

    def find_refund(self, idempotency_key: str) -> Refund | None:
        """The refund made under this key, or None with the same caution as in `find_charge`."""
        ...

    def list_movements(self, after: str | None = None, limit: int = 100) -> Sequence[Movement]:
        """Captures and refunds in the order they were made: at most `limit` (1 to 1,000) behind the
        cursor `after` (None: from the first); empty at the end. What was read never changes."""
        ...
