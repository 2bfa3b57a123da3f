"""A whole verification: three walks, and a line a second that says how far they are."""

from collections.abc import Callable
from dataclasses import dataclass, field

from queries import summaries
from queries.progress import Progress, resume_options
from queries.verification import Verification


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
    _progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        self._progress = Progress(self.say)

    def run(self) -> int:
        """Check everything; how many orders and summaries differed."""
        orders = 0
        for page in self.verification.missing(self.from_position):
            self.from_position = page.position + 1
            self._progress.differ(page.differences)
            self._progress.line(f"log read up to position {page.position:,}")
        for page in self.verification.different(self.from_order):
            self.from_order = page.last_order
            orders += page.orders
            self._progress.differ(page.differences)
            self._progress.line(f"{orders:,} orders checked")
        for day in summaries.check(repair=self.verification.repair):
            self._progress.day(day)
        self.say(f"{orders:,} orders checked, {self._progress.differences:,} differences")
        return self._progress.differences

    @property
    def resume(self) -> str:
        """The options that go on from here."""
        return resume_options(self.from_position, self.from_order)
