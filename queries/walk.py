"""A whole verification or rebuild: three walks, and a line a second that says how far they are."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from queries import summaries
from queries.verification import Difference, Verification

LINE_EVERY_SECONDS = 1.0
MAX_NAMED = 20


@dataclass
class Walk:
    """Runs the three walks in turn; may be stopped and gone on with.

    Args:
        say: takes a line for the person at the terminal.
        from_position, from_order: where to go on; they move as pages are done.
    """

    verification: Verification
    say: Callable[[str], object]
    from_position: int = 1
    from_order: str = ""
    differences: int = 0
    _orders: int = 0
    _next_line: float = field(default_factory=time.monotonic)

    def run(self) -> int:
        """Check everything; how many orders and summaries differed."""
        for page in self.verification.missing(self.from_position):
            self.from_position = page.position + 1
            self._count(page.differences)
            self._line(f"log read up to position {page.position:,}")
        for page in self.verification.different(self.from_order):
            self.from_order = page.last_order
            self._orders += page.orders
            self._count(page.differences)
            self._line(f"{self._orders:,} orders checked")
        for day in summaries.check(repair=self.verification.repair):
            if day.differences:
                self.say(f"  summaries of {day.day}: {day.differences:,} differ")
            self.differences += day.differences
            self._line(f"summaries checked up to {day.day}")
        self.say(f"{self._orders:,} orders checked, {self.differences:,} differences")
        return self.differences

    @property
    def resume(self) -> str:
        """The options that go on from here."""
        order = f" --from-order={self.from_order}" if self.from_order else ""
        return f"--from-position={self.from_position}{order}"

    def _count(self, differences: list[Difference]) -> None:
        for number, difference in enumerate(differences, start=self.differences):
            if number < MAX_NAMED:
                self.say(f"  {difference.order_id}: {difference.what}")
        self.differences += len(differences)

    def _line(self, text: str) -> None:
        if time.monotonic() >= self._next_line:
            self.say(f"{text}, {self.differences:,} differences so far")
            self._next_line = time.monotonic() + LINE_EVERY_SECONDS
