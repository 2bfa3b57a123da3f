"""How far a long command is: one line that is written over on a terminal, a line now and then
anywhere else.
"""

import time
from typing import TextIO

TERMINAL_SECONDS = 0.2
LINE_SECONDS = 10.0


class Meter:
    """Shows how many of a number of things are done.

    Args:
        out: where to; nothing is ever written to it that a result belongs to.
        total: of the things; 0 if nobody knows.
        unit: what they are.
    """

    def __init__(self, out: TextIO, total: int, unit: str = "events") -> None:
        self._out = out
        self._total = total
        self._unit = unit
        self._began = time.monotonic()
        self._terminal = bool(getattr(out, "isatty", bool)())
        self._pause = TERMINAL_SECONDS if self._terminal else LINE_SECONDS
        self._next = self._began + self._pause
        self._shown = False

    def show(self, done: int) -> None:
        """So many are done; shown if it is time."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._pause
        line = self._line(done, max(now - self._began, 0.001))
        self._out.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
        self._out.flush()
        self._shown = True

    def _line(self, done: int, seconds: float) -> str:
        rate = done / seconds
        if not self._total:
            return f"{done:,} {self._unit}, {rate:,.0f}/s"
        part = min(1.0, done / self._total)
        left = max(0.0, (self._total - done) / rate) if rate else 0.0
        return (
            f"{done:,} of {self._total:,} {self._unit} ({part:.0%}), {rate:,.0f}/s, "
            f"{left:,.0f} s to go"
        )

    def clear(self) -> None:
        """Make room for a line of another kind, or for the end."""
        if self._terminal and self._shown:
            self._out.write("\r\x1b[K")
            self._out.flush()
            self._shown = False
