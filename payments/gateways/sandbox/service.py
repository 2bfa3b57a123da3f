"""The sandbox's rules: idempotency keys, charges, refunds, and the trouble asked for.

After Stripe's semantics (docs.stripe.com/api/idempotent_requests): the first result of a request
that was executed is stored under its key, in the transaction that moved the money, and replayed for
ever, declines and 500s included. What was refused before execution is not stored.
"""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from payments.gateways.sandbox import answers
from payments.gateways.sandbox.answers import Answer, Delivery
from payments.gateways.sandbox.faults import SLOW_SECONDS, Fate, Trouble, case_for
from payments.gateways.sandbox.ledger import Entry, Ledger, Result, Transaction
from payments.gateways.sandbox.parameters import ChargeParameters, RefundParameters, fingerprint

Execute = Callable[[Transaction], Answer]
_REPLAYED = (("Idempotent-Replayed", "true"),)
_NOTHING_DONE = {
    Trouble.HANG_BEFORE: replace(answers.unavailable(), delivery=Delivery.HANG),
    Trouble.RATE_LIMIT: answers.rate_limited(),
    Trouble.ERROR: answers.server_error(),
    Trouble.UNAVAILABLE: answers.unavailable(),
}
_LOST_REPLY = {Trouble.HANG_AFTER: Delivery.HANG, Trouble.RESET_AFTER: Delivery.RESET}


class Service:
    """`pause(seconds)` waits for a slow charge; the server cuts it short when it stops."""

    def __init__(self, ledger: Ledger, pause: Callable[[float], object]) -> None:
        self._ledger = ledger
        self._pause = pause
        self._executing: set[str] = set()
        self._lock = threading.Lock()

    def charge(self, key: str, request: ChargeParameters) -> Answer:
        fate = case_for(request.token, request.amount).charge
        entry = _capture(key, request)

        def execute(transaction: Transaction) -> Answer:
            transaction.append(entry)
            return answers.success(answers.charge_document(entry, 0))

        with self._claim(key) as claimed:
            if not claimed:
                return answers.in_progress()
            if fate.trouble is Trouble.SLOW:
                self._pause_unless_stored(key)
            with self._ledger.transaction() as transaction:
                return _once(transaction, key, fingerprint(request), fate, execute)

    def refund(self, key: str, request: RefundParameters) -> Answer:
        with self._claim(key) as claimed:
            if not claimed:
                return answers.in_progress()
            with self._ledger.transaction() as transaction:
                charge = transaction.find("capture", request.charge)
                if charge is None:
                    return _stored(
                        transaction.result(key), fingerprint(request)
                    ) or answers.missing("charge")
                return _once(
                    transaction,
                    key,
                    fingerprint(request),
                    case_for(charge.token, charge.amount).refund,
                    lambda transaction: _refund(transaction, key, charge, request),
                )

    def find_charge(self, reference: str) -> Answer:
        with self._ledger.transaction() as transaction:
            entry = transaction.find("capture", reference)
            if entry is None:
                return answers.missing("charge")
            refunded = transaction.refunded(entry.reference)
        return answers.success(answers.charge_document(entry, refunded))

    def find_by_key(self, kind: str, key: str) -> Answer:
        """The charge or refund under this key, as a list; 409 while it is being decided."""
        with self._lock:
            if key in self._executing:
                return answers.in_progress()
        with self._ledger.transaction() as transaction:
            entry = transaction.find_by_key(kind, key)
            refunded = transaction.refunded(entry.reference) if entry else 0
        if entry is None:
            return answers.success({"data": []})
        if kind == "capture":
            return answers.success({"data": [answers.charge_document(entry, refunded)]})
        return answers.success({"data": [answers.refund_document(entry)]})

    def movements(self, after: int, limit: int) -> Answer:
        with self._ledger.transaction() as transaction:
            entries = transaction.entries(after, limit + 1)
        page = [answers.movement_document(entry) for entry in entries[:limit]]
        return answers.success({"data": page, "has_more": len(entries) > limit})

    def balance(self) -> Answer:
        with self._ledger.transaction() as transaction:
            totals = transaction.totals()
        balance = {
            currency: {"captured": captured, "refunded": refunded, "net": captured - refunded}
            for currency, captured, refunded in totals
        }
        return answers.success({"balance": balance})

    def health(self) -> Answer:
        with self._ledger.transaction() as transaction:
            transaction.entries(0, 1)
        return answers.success({"status": "ok"})

    @contextmanager
    def _claim(self, key: str) -> Iterator[bool]:
        with self._lock:
            claimed = key not in self._executing
            self._executing.add(key)
        try:
            yield claimed
        finally:
            if claimed:
                with self._lock:
                    self._executing.discard(key)

    def _pause_unless_stored(self, key: str) -> None:
        with self._ledger.transaction() as transaction:
            result = transaction.result(key)
        if result is None or result.status is None:
            self._pause(SLOW_SECONDS)


def _once(transaction: Transaction, key: str, print_: str, fate: Fate, execute: Execute) -> Answer:
    """Replay what is stored under the key, else count the attempt and let it meet its fate."""
    if stored := _stored(transaction.result(key), print_):
        return stored
    trouble = fate.at(transaction.count_attempt(key, print_))
    if trouble in _NOTHING_DONE:
        return _NOTHING_DONE[trouble]
    answer = _outcome(transaction, trouble, fate, execute)
    transaction.store_result(key, answer.status, answer.body)
    return replace(answer, delivery=_LOST_REPLY.get(trouble, Delivery.REPLY))


def _outcome(transaction: Transaction, trouble: Trouble, fate: Fate, execute: Execute) -> Answer:
    match trouble:
        case Trouble.DECLINE:
            return answers.failure(402, "card_error", fate.code, fate.message)
        case Trouble.ERROR_STORED:
            return answers.server_error()
        case Trouble.ERROR_STORED_THOUGH_DONE:
            execute(transaction)
            return answers.server_error()
        case _:
            return execute(transaction)


def _stored(result: Result | None, print_: str) -> Answer | None:
    if result is None:
        return None
    if result.fingerprint != print_:
        return answers.key_reused()
    if result.status is None or result.body is None:
        return None
    return Answer(result.status, result.body, _REPLAYED)


def _refund(transaction: Transaction, key: str, charge: Entry, request: RefundParameters) -> Answer:
    left = charge.amount - transaction.refunded(charge.reference)
    if request.currency not in ("", charge.currency):
        return answers.invalid("currency_mismatch", f"The charge is in {charge.currency}.")
    if left == 0:
        return answers.invalid("charge_already_refunded", "The charge is refunded already.")
    if request.amount > left:
        return answers.invalid("amount_too_large", f"Only {left} is left of the charge.")
    entry = replace(
        charge,
        sequence=0,
        kind="refund",
        reference=f"re_{uuid.uuid4().hex}",
        amount=request.amount,
        idempotency_key=key,
        token="",
        reason=request.reason,
        created_at=_now(),
    )
    transaction.append(entry)
    return answers.success(answers.refund_document(entry))


def _capture(key: str, request: ChargeParameters) -> Entry:
    reference = f"ch_{uuid.uuid4().hex}"
    return Entry(
        sequence=0,  # the ledger numbers it
        kind="capture",
        reference=reference,
        charge=reference,
        amount=request.amount,
        currency=request.currency,
        idempotency_key=key,
        order_id=request.order_id,
        token=request.token,
        reason="",
        created_at=_now(),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
