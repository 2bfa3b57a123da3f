"""Reads settings from the environment, strictly, and collects every problem on the way."""

import os
import re
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

import environ

PREFIX = "ORDERS_"
_BOOLEANS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_NUMBERS: dict[Any, tuple[str, re.Pattern[str]]] = {
    int: ("a whole number", re.compile(r"-?[0-9]{1,18}")),
    float: ("a number", re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")),
}
_ADDRESS = re.compile(r"\S+:[0-9]{1,5}", re.ASCII)


class Environment(environ.Env):
    """`environ.Env` for variables named ORDERS_*.

    Attributes:
        known: every variable that was asked for.
        problems: what is wrong with the given values, in plain words, never with the value of
            anything that may be secret.
    """

    def __init__(self) -> None:
        super().__init__()
        self.known: set[str] = set()
        self.problems: list[str] = []

    def get_value(self, var: str, cast: Any = None, default: Any = None, **options: Any) -> Any:
        """The variable's value, or `default` when it is unset, empty or wrong."""
        name = PREFIX + var
        self.known.add(name)
        text = os.environ.get(name, "").strip()
        if not text:
            return default
        if cast is bool:
            if text.lower() not in _BOOLEANS:
                self.problems.append(f"{name} is true or false.")
            return _BOOLEANS.get(text.lower(), default)
        if cast in _NUMBERS:
            # Not by the parent, which drops what is no digit: 1e3 would be 13.
            kind, pattern = _NUMBERS[cast]
            if not pattern.fullmatch(text):
                self.problems.append(f"{name} is {kind}, in plain digits.")
                return default
            return cast(text)
        try:
            # Not the parent's `get_value`, which takes a secret that starts with $ for the name
            # of another variable.
            value = self.parse_value(text, cast)
        except (ValueError, TypeError):
            self.problems.append(f"{name} is not of the type {getattr(cast, '__name__', cast)}.")
            return default
        if isinstance(value, list):
            return [item.strip() for item in value if item.strip()] or default
        return value

    def number(self, var: str, default: Any, *, least: float, most: float = float("inf")) -> Any:
        """A number of the default's type within bounds."""
        value = self.get_value(var, cast=type(default), default=default)
        if not least <= value <= most:
            bound = f"{least:g} to {most:g}" if most < float("inf") else f"{least:g} or more"
            self.problems.append(f"{PREFIX}{var} is {bound}.")
            return default
        return value

    def port(self, var: str, default: int) -> int:
        """A TCP port."""
        port: int = self.number(var, default, least=1, most=65535)
        return port

    def url(
        self, var: str, default: str = "", *, schemes: Collection[str], several: bool = False
    ) -> str:
        """A URL with a host and one of these schemes; `several`: or more, with commas between."""
        value: str = self.str(var, default="")
        urls = [each.strip() for each in value.split(",")] if several else [value]
        if value and not all(_is_url(url, schemes) for url in urls):
            wanted = " or ".join(f"{scheme}://" for scheme in schemes)
            self.problems.append(f"{PREFIX}{var} is a URL that starts with {wanted}.")
            return default
        return value or default

    def address(self, var: str, default: str) -> str:
        """Where to dial: host:port."""
        value: str = self.str(var, default=default)
        if not _ADDRESS.fullmatch(value):
            self.problems.append(f"{PREFIX}{var} is host:port.")
            return default
        return value

    def given(self, var: str) -> bool:
        """Whether the environment sets the variable to anything."""
        return bool(os.environ.get(PREFIX + var, "").strip())

    def unknown(self) -> list[str]:
        """Variables with our prefix that nothing asks for: most likely misspelt."""
        return sorted(n for n in os.environ if n.startswith(PREFIX) and n not in self.known)


def _is_url(text: str, schemes: Collection[str]) -> bool:
    try:
        parts = urlsplit(text)
        # Looking at the port finds the ones that are none.
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
