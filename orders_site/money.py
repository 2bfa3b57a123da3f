"""Money: integer minor units and an ISO 4217 currency inside, decimal strings on the wire."""

import re
from dataclasses import dataclass
from decimal import Decimal

# ISO 4217: the active currencies whose minor unit is not a hundredth; every other one has two digits.
_DIGITS = {
    **dict.fromkeys(
        "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split(), 0
    ),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
}
CURRENCIES = frozenset(
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD "
    "CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS "
    "GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW "
    "KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR "
    "MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR "
    "SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX "
    "USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG".split()
)
# Keeps every sum of an order's lines far inside a 64-bit integer.
MAX_MINOR = 10**15
_PLAIN = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)


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
        if not _PLAIN.fullmatch(text):
            raise ValueError("is not a plain decimal number, such as 12.50")
        minor = Decimal(text).scaleb(digits(currency))
        if minor != int(minor):
            raise ValueError(f"has more decimals than {currency} ({digits(currency)})")
        if abs(minor) > MAX_MINOR:
            raise ValueError("is too large")
        return cls(int(minor), currency)

    def __str__(self) -> str:
        places = digits(self.currency)
        return format(Decimal(self.minor).scaleb(-places), f".{places}f")


def digits(currency: str) -> int:
    """How many decimals the currency's minor unit has."""
    return _DIGITS.get(currency, 2)
