"""The table of troubles: written once, and what its docstring says."""

import re

from payments.gateways.sandbox import faults
from payments.gateways.sandbox.faults import CASES, Fate, Trouble, case_for


def test_the_docstring_lists_every_case_and_no_other() -> None:
    listed = re.findall(r"^(\d+) +(tok_\w+) ", faults.__doc__ or "", re.MULTILINE)
    assert [(int(amount), token) for amount, token in listed] == [
        (case.amount, case.token) for case in CASES
    ]


def test_no_amount_and_no_token_is_used_twice() -> None:
    assert len({case.amount for case in CASES}) == len({case.token for case in CASES}) == len(CASES)


def test_a_known_token_wins_over_the_amount() -> None:
    assert case_for("tok_slow", 40002).charge.trouble is Trouble.SLOW
    assert case_for("tok_visa", 40002).charge.trouble is Trouble.DECLINE
    assert case_for("", 1250).charge.trouble is Trouble.NONE


def test_a_trouble_ends_after_its_attempts() -> None:
    fate = Fate(Trouble.RATE_LIMIT, 2)
    assert [fate.at(attempt) for attempt in (1, 2, 3)] == [
        Trouble.RATE_LIMIT,
        Trouble.RATE_LIMIT,
        Trouble.NONE,
    ]
    assert Fate(Trouble.UNAVAILABLE).at(1_000_000) is Trouble.UNAVAILABLE
