"""What a verification or a rebuild tells the person at the terminal: a line a second."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from queries.repairing import Difference
from queries.summaries import DayChecked

LINE_EVERY_SECONDS = 1.0
MAX_NAMED = 20


@dataclass
class Progress:
    """How far a walk is, and how many differences it has found.

    Args:
        say: takes a line.
        most_named: so many differences are told one by one.
    """

    say: Callable[[str], object]
    most_named: int = MAX_NAMED
    differences: int = 0
    _began: float = 0.0
    _first: int = 1
    _end: int = 0
    _next_line: float = field(default_factory=lambda: time.monotonic() + LINE_EVERY_SECONDS)

    def begin(self, position: int, end: int) -> None:
        """The log is read from a position on up to its end."""
        self._began, self._first, self._end = time.monotonic(), position, end

    def reached(self, position: int) -> None:
        """The log is read up to a position: how fast, and how long the rest will take."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = (position - self._first + 1) / seconds
        left = timedelta(seconds=round((self._end - position) / rate))
        self.line(
            f"log read up to position {position:,} of {self._end:,} "
            f"({100 * position // self._end} %), {rate:,.0f} events/s, {left} left"
        )

    def differ(self, found: Sequence[Difference]) -> None:
        """Name differences, as long as they are few, and count them."""
        for each in found[: max(0, self.most_named - self.differences)]:
            self.say(f"  {each.order_id}: {each.what}")
        self.differences += len(found)

    def day(self, checked: DayChecked) -> None:
        """The summaries of a day are checked."""
        if checked.differences:
            self.say(f"  summaries of {checked.day}: {checked.differences:,} differ")
        self.differences += checked.differences
        self.line(f"summaries checked up to {checked.day}")

    def line(self, text: str) -> None:
        """Say it, unless a line was said less than a second ago."""
        if time.monotonic() >= self._next_line:
            self.say(f"{text}, {self.differences:,} differences so far")
            self._next_line = time.monotonic() + LINE_EVERY_SECONDS


def resume_options(position: int, order_id: str) -> str:
    """What to call a command with, for it to go on from here."""
    order = f" --from-order={order_id}" if order_id else ""
    return f"--from-position={position}{order}"
