"""Amounts on the wire, against decimal arithmetic that does not take them apart by hand."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders_site.money import MAX_MINOR, Money, digits

CURRENCIES = st.sampled_from(["EUR", "JPY", "KWD"])
PLAIN = st.from_regex(r"\A-?[0-9]{1,17}(\.[0-9]{1,6})?\Z")


@given(PLAIN, CURRENCIES)
def test_a_plain_decimal_is_read_exactly_or_refused(text, currency):
    minor = Decimal(text) * 10 ** digits(currency)
    if minor == int(minor) and abs(minor) <= MAX_MINOR:
        assert Money.parse(text, currency).minor == minor
        assert Money.parse(Decimal(text), currency).minor == minor
    else:
        with pytest.raises(ValueError, match="decimals" if minor != int(minor) else "too large"):
            Money.parse(text, currency)


@pytest.mark.parametrize(
    "text",
    ["", "1.", ".5", "1e3", "1_0", "+1", " 1", "1 ", "1.0.0", "٣", "--1", "NaN", "1,5", "1\n"],
)
def test_what_is_no_plain_decimal_is_refused(text):
    with pytest.raises(ValueError, match="plain decimal"):
        Money.parse(text, "EUR")


@given(st.integers(-MAX_MINOR, MAX_MINOR), CURRENCIES)
def test_an_amount_is_shown_as_the_decimal_that_it_is_and_read_back(minor, currency):
    shown = str(Money(minor, currency))
    assert Decimal(shown) == Decimal(minor).scaleb(-digits(currency))
    assert len(shown.partition(".")[2]) == digits(currency)
    assert Money.parse(shown, currency) == Money(minor, currency)
