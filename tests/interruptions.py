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
    """Passes every call on; once, after the chosen call (or before it), something happens.

    `at`: which of the calls of that method, counted from 1.
    """

    def __init__(
        self,
        behind: Any,
        method: str,
        happens: Callable[[], object],
        *,
        at: int = 1,
        before: bool = False,
    ) -> None:
        self._behind = behind
        self._method = method
        self._happens = happens
        self._left = at
        self._before = before

    def __getattr__(self, name: str) -> Callable[..., Any]:
        passed_on = getattr(self._behind, name)
        if name != self._method:
            return passed_on

        def call(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._before and self._left == 0:
                self._happens()
            answer = passed_on(*args, **kwargs)
            if not self._before and self._left == 0:
                self._happens()
            return answer

        return call
