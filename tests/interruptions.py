"""Stores and gateways that die at a chosen moment, as a killed process would see them."""

from collections.abc import Callable
from typing import Any


class Killed(BaseException):
    """The process ends here; nothing that catches exceptions may survive it."""


class DyingAfter:
    """Passes every call on, and dies after the chosen one went through (or before it)."""

    def __init__(self, behind: Any, method: str, *, before: bool = False) -> None:
        self._behind = behind
        self._method = method
        self._before = before

    def __getattr__(self, name: str) -> Callable[..., Any]:
        passed_on = getattr(self._behind, name)
        if name != self._method:
            return passed_on

        def die(*args: Any, **kwargs: Any) -> Any:
            if not self._before:
                passed_on(*args, **kwargs)
            raise Killed(self._method)

        return die


class Meanwhile:
    """Passes every call on; before the chosen one returns for the first time, something happens."""

    def __init__(self, behind: Any, method: str, happens: Callable[[], object]) -> None:
        self._behind = behind
        self._method = method
        self._happens: Callable[[], object] | None = happens

    def __getattr__(self, name: str) -> Callable[..., Any]:
        passed_on = getattr(self._behind, name)
        if name != self._method:
            return passed_on

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = passed_on(*args, **kwargs)
            if self._happens is not None:
                happens, self._happens = self._happens, None
                happens()
            return answer

        return call
