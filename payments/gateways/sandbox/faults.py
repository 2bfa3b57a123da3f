"""The trouble that a charge can ask for, by its token or else by its exact amount in minor units.

The order API has no token: there the amount of the order (40002 = 400.02) chooses. A known token
wins over the amount. Attempts are counted per idempotency key; a stored result is replayed.

amount  token                        what happens
40002   tok_decline                  402 card_declined, stored
40003   tok_insufficient_funds       402 insufficient_funds, stored
40010   tok_timeout_charged          charged and stored, but the first request is never answered
40011   tok_timeout_not_charged      the first request hangs and does nothing, the second works
40012   tok_reset_after_charge       charged and stored, then the connection is reset
40013   tok_rate_limited             429 with Retry-After twice, then it works
40014   tok_error_500_once           500 once, nothing done or stored, then it works
40015   tok_refund_fails             the charge works; its refunds answer 500 twice, then work
40016   tok_unavailable              503 for ever: never charged
40017   tok_error_500                500 stored under the key, never charged: replays 500 for ever
40018   tok_error_500_charged        500 stored though charged: only the look-up tells
40019   tok_slow                     works after one second; the key is in progress (409) meanwhile
40020   tok_refund_timeout_refunded  the charge works; the first refund is not answered
40021   tok_refund_unavailable       the charge works; its refunds answer 503 for ever
"""

from dataclasses import dataclass
from enum import Enum, auto

SLOW_SECONDS = 1.0


class Trouble(Enum):
    NONE = auto()
    SLOW = auto()
    # Nothing is done and nothing stored.
    HANG_BEFORE = auto()
    RATE_LIMIT = auto()
    ERROR = auto()
    UNAVAILABLE = auto()
    # A result other than success is stored under the key.
    DECLINE = auto()
    ERROR_STORED = auto()
    ERROR_STORED_THOUGH_DONE = auto()
    # Done and stored, and the first reply is lost.
    HANG_AFTER = auto()
    RESET_AFTER = auto()


@dataclass(frozen=True, slots=True)
class Fate:
    """Trouble for the first `attempts` attempts under a key (None: for every one)."""

    trouble: Trouble = Trouble.NONE
    attempts: int | None = None
    code: str = ""
    message: str = ""

    def at(self, attempt: int) -> Trouble:
        """The trouble that attempt number `attempt`, counted from 1, meets."""
        if self.attempts is not None and attempt > self.attempts:
            return Trouble.NONE
        return self.trouble


FINE = Fate()


@dataclass(frozen=True, slots=True)
class Case:
    amount: int
    token: str
    charge: Fate = FINE
    refund: Fate = FINE


CASES = (
    Case(
        40002, "tok_decline", Fate(Trouble.DECLINE, None, "card_declined", "The card was declined.")
    ),
    Case(
        40003,
        "tok_insufficient_funds",
        Fate(Trouble.DECLINE, None, "insufficient_funds", "The card has insufficient funds."),
    ),
    Case(40010, "tok_timeout_charged", Fate(Trouble.HANG_AFTER)),
    Case(40011, "tok_timeout_not_charged", Fate(Trouble.HANG_BEFORE, 1)),
    Case(40012, "tok_reset_after_charge", Fate(Trouble.RESET_AFTER)),
    Case(40013, "tok_rate_limited", Fate(Trouble.RATE_LIMIT, 2)),
    Case(40014, "tok_error_500_once", Fate(Trouble.ERROR, 1)),
    Case(40015, "tok_refund_fails", refund=Fate(Trouble.ERROR, 2)),
    Case(40016, "tok_unavailable", Fate(Trouble.UNAVAILABLE)),
    Case(40017, "tok_error_500", Fate(Trouble.ERROR_STORED)),
    Case(40018, "tok_error_500_charged", Fate(Trouble.ERROR_STORED_THOUGH_DONE)),
    Case(40019, "tok_slow", Fate(Trouble.SLOW)),
    Case(40020, "tok_refund_timeout_refunded", refund=Fate(Trouble.HANG_AFTER)),
    Case(40021, "tok_refund_unavailable", refund=Fate(Trouble.UNAVAILABLE)),
)

_BY_TOKEN = {case.token: case for case in CASES}
_BY_AMOUNT = {case.amount: case for case in CASES}
_ORDINARY = Case(0, "")


def case_for(token: str, amount: int) -> Case:
    """The case that a charge with this token and amount falls under."""
    return _BY_TOKEN.get(token) or _BY_AMOUNT.get(amount) or _ORDINARY
