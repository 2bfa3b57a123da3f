"""Money: integer minor units and an ISO 4217 currency inside, decimal strings on the wire."""

import re
from dataclasses import dataclass
from decimal import Decimal

# ISO 4217, the active currencies: those without a minor unit, those with a thousandth, all others.
_NO_DIGITS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THREE_DIGITS = "BHD IQD JOD KWD LYD OMR TND"
_TWO_DIGITS = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF "
    "CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD "
    "HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA "
    "MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN "
    "QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP "
    "TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW ZWG"
)
_DIGITS = {
    **dict.fromkeys(_NO_DIGITS.split(), 0),
    **dict.fromkeys(_TWO_DIGITS.split(), 2),
    **dict.fromkeys(_THREE_DIGITS.split(), 3),
}
CURRENCIES = frozenset(_DIGITS)
# Keeps every sum of an order's lines far inside a 64-bit integer.
MAX_MINOR = 10**15
_PLAIN = re.compile(r"(-?[0-9]{1,20})(?:\.([0-9]{1,20}))?", re.ASCII)


@dataclass(frozen=True, order=True)
class Money:
    """An amount in minor units (cents) of one currency. `str()` gives the wire's decimal string."""

    minor: int
    currency: str

    @classmethod
    def parse(cls, amount: str | Decimal, currency: str) -> "Money":
        """Read a plain decimal, such as "12.50" or Decimal("12.5").

        Raises:
            ValueError: no plain decimal, a fraction of a minor unit, an unknown currency, or an
                amount beyond MAX_MINOR; in words that may be shown to the sender.
        """
        if currency not in CURRENCIES:
            raise ValueError("is not an active ISO 4217 currency")
        text = format(amount, "f") if isinstance(amount, Decimal) else amount
        plain = _PLAIN.fullmatch(text)
        if not plain:
            raise ValueError("is not a plain decimal number, such as 12.50")
        whole, fraction = plain.groups("")
        fraction, places = fraction.rstrip("0"), digits(currency)
        if len(fraction) > places:
            raise ValueError(f"has more decimals than {currency} ({places})")
        minor = int(whole + fraction.ljust(places, "0"))
        if abs(minor) > MAX_MINOR:
            raise ValueError("is too large")
        return cls(minor, currency)

    def __str__(self) -> str:
        places = digits(self.currency)
        if not places:
            return str(self.minor)
        whole, fraction = divmod(abs(self.minor), 10**places)
        return f"{'-' if self.minor < 0 else ''}{whole}.{fraction:0{places}}"


def digits(currency: str) -> int:
    """How many decimals the currency's minor unit has."""
    return _DIGITS[currency]
