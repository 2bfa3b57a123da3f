"""How many events a page holds: many small ones, few large ones, so that memory stays flat."""

from collections.abc import Sequence

from eventstore.client.events import Event
from eventstore.client.notice import Facts

FIRST_SIZE = 64
LARGEST_SIZE = 500
PAGE_CHARACTERS = 4 * 1024 * 1024


class PageSize:
    """The size of the next page, after what the pages so far looked like."""

    def __init__(self) -> None:
        self.events = FIRST_SIZE

    def learn(self, page: Sequence[Event] | Sequence[Facts]) -> None:
        """Fit the size to the average event of the page."""
        if not page:
            return
        average = sum(len(event.data) + len(event.metadata) for event in page) / len(page)
        fitting = int(PAGE_CHARACTERS / max(average, 1))
        self.events = max(1, min(LARGEST_SIZE, fitting))
