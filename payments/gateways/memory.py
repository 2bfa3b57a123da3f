"""A gateway in memory for tests of payments: the port's rules and the sandbox's troubles."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from payments.gateways.port import (
    Charge,
    ChargeRequest,
    GatewayRejectedRequest,
    GatewayUnavailable,
    Movement,
    MovementKind,
    PaymentDeclined,
    Refund,
    RefundRequest,
)
from payments.gateways.sandbox import parameters
from payments.gateways.sandbox.faults import Fate, Trouble, case_for
from payments.gateways.sandbox.parameters import ChargeParameters, RefundParameters

Parameters = ChargeParameters | RefundParameters
_DOES_NOTHING = {Trouble.HANG_BEFORE, Trouble.RATE_LIMIT, Trouble.ERROR, Trouble.UNAVAILABLE}
_LOSES_THE_REPLY = {Trouble.HANG_AFTER, Trouble.RESET_AFTER, Trouble.ERROR_STORED_THOUGH_DONE}


class InMemoryGateway:
    """Raises `GatewayUnavailable` at once where the sandbox hangs. Threads may share it."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._requests: dict[str, Parameters] = {}
        self._attempts: dict[str, int] = {}
        self._failures: dict[str, Exception] = {}
        self._movements: list[Movement] = []

    @property
    def captures(self) -> list[Movement]:
        """The money taken, in order."""
        return self._of_kind(MovementKind.CAPTURE)

    @property
    def refunds(self) -> list[Movement]:
        """The money given back, in order."""
        return self._of_kind(MovementKind.REFUND)

    def charge(self, request: ChargeRequest) -> Charge:
        key, wanted = _checked_charge(request)
        fate = case_for(wanted.token, wanted.amount).charge
        with self._lock:
            return _as_charge(self._once(key, wanted, fate, lambda: self._capture(key, wanted)))

    def refund(self, request: RefundRequest) -> Refund:
        key, wanted = _checked_refund(request)
        with self._lock:
            charge = self._charge_named(wanted.charge)
            fate = self._refund_fate(charge)
            return _as_refund(
                self._once(key, wanted, fate, lambda: self._give_back(key, wanted, charge))
            )

    def find_charge(self, idempotency_key: str) -> Charge | None:
        movement = self._find(MovementKind.CAPTURE, idempotency_key)
        return _as_charge(movement) if movement else None

    def find_refund(self, idempotency_key: str) -> Refund | None:
        movement = self._find(MovementKind.REFUND, idempotency_key)
        return _as_refund(movement) if movement else None

    def list_movements(self, after: str | None = None, limit: int = 100) -> tuple[Movement, ...]:
        with _rejections():
            start, count = parameters.parse_cursor(after), parameters.parse_limit(str(limit))
        with self._lock:
            return tuple(self._movements[start : start + count])

    def _once(
        self, key: str, wanted: Parameters, fate: Fate, execute: Callable[[], Movement]
    ) -> Movement:
        """The movement under this key, made now or before; the lock is held."""
        if self._requests.setdefault(key, wanted) != wanted:
            raise GatewayRejectedRequest(
                "idempotency_key_reused", "This idempotency key was used with other parameters."
            )
        if found := next((m for m in self._movements if m.idempotency_key == key), None):
            return found
        if key in self._failures:
            raise self._failures[key]
        self._attempts[key] = self._attempts.get(key, 0) + 1
        trouble = fate.at(self._attempts[key])
        self._fail_before_moving(key, wanted, fate, trouble)
        movement = execute()
        self._movements.append(movement)
        if trouble in _LOSES_THE_REPLY:
            raise GatewayUnavailable(trouble.name)
        return movement

    def _fail_before_moving(
        self, key: str, wanted: Parameters, fate: Fate, trouble: Trouble
    ) -> None:
        if trouble in _DOES_NOTHING:
            raise GatewayUnavailable(trouble.name)
        if trouble is Trouble.DECLINE:
            self._failures[key] = PaymentDeclined(fate.code, fate.message)
            raise self._failures[key]
        if trouble is Trouble.ERROR_STORED:
            is_charge = isinstance(wanted, ChargeParameters)
            final = PaymentDeclined if is_charge else GatewayRejectedRequest
            self._failures[key] = final(
                "gateway_error", "The provider failed and will not execute it."
            )
            raise GatewayUnavailable(trouble.name)

    def _capture(self, key: str, wanted: ChargeParameters) -> Movement:
        reference = f"ch_memory_{len(self._movements) + 1}"
        return Movement(
            cursor=str(len(self._movements) + 1),
            kind=MovementKind.CAPTURE,
            reference=reference,
            charge_reference=reference,
            amount_minor=wanted.amount,
            currency=wanted.currency,
            idempotency_key=key,
            order_id=wanted.order_id,
            created_at=self._clock(),
        )

    def _give_back(self, key: str, wanted: RefundParameters, charge: Movement) -> Movement:
        if code := self._reason_against(wanted, charge):
            self._failures[key] = GatewayRejectedRequest(
                code, "The refund does not fit its charge."
            )
            raise self._failures[key]
        number = len(self._movements) + 1
        return replace(
            charge,
            cursor=str(number),
            kind=MovementKind.REFUND,
            reference=f"re_memory_{number}",
            amount_minor=wanted.amount,
            idempotency_key=key,
            created_at=self._clock(),
        )

    def _reason_against(self, wanted: RefundParameters, charge: Movement) -> str | None:
        left = charge.amount_minor - sum(
            movement.amount_minor
            for movement in self._movements
            if movement.kind is MovementKind.REFUND
            and movement.charge_reference == charge.reference
        )
        if wanted.currency not in ("", charge.currency):
            return "currency_mismatch"
        if left == 0:
            return "charge_already_refunded"
        return "amount_too_large" if wanted.amount > left else None

    def _charge_named(self, reference: str) -> Movement:
        for movement in self._movements:
            if movement.kind is MovementKind.CAPTURE and movement.reference == reference:
                return movement
        raise GatewayRejectedRequest("resource_missing", "There is no such charge.")

    def _refund_fate(self, charge: Movement) -> Fate:
        request = self._requests[charge.idempotency_key]
        token = request.token if isinstance(request, ChargeParameters) else ""
        return case_for(token, charge.amount_minor).refund

    def _find(self, kind: MovementKind, key: str) -> Movement | None:
        with _rejections():
            parameters.parse_key(key)
        return next((m for m in self._of_kind(kind) if m.idempotency_key == key), None)

    def _of_kind(self, kind: MovementKind) -> list[Movement]:
        with self._lock:
            return [movement for movement in self._movements if movement.kind is kind]


def _checked_charge(request: ChargeRequest) -> tuple[str, ChargeParameters]:
    with _rejections():
        return parameters.parse_key(request.idempotency_key), parameters.parse_charge(
            {
                "amount": request.amount_minor,
                "currency": request.currency,
                "token": request.token,
                "order_id": request.order_id,
            }
        )


def _checked_refund(request: RefundRequest) -> tuple[str, RefundParameters]:
    with _rejections():
        return parameters.parse_key(request.idempotency_key), parameters.parse_refund(
            {
                "charge": request.charge_reference,
                "amount": request.amount_minor,
                "currency": request.currency,
                "reason": request.reason,
            }
        )


@contextmanager
def _rejections() -> Iterator[None]:
    try:
        yield
    except parameters.InvalidParameter as error:
        raise GatewayRejectedRequest(error.code, error.message) from error


def _as_charge(movement: Movement) -> Charge:
    return Charge(
        reference=movement.reference,
        amount_minor=movement.amount_minor,
        currency=movement.currency,
        created_at=movement.created_at,
    )


def _as_refund(movement: Movement) -> Refund:
    return Refund(
        reference=movement.reference,
        charge_reference=movement.charge_reference,
        amount_minor=movement.amount_minor,
        currency=movement.currency,
    )
