"""The load-fold-decide-append loop, the only one."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from eventstore.client.errors import EventIdConflict, VersionConflict
from eventstore.client.events import Event, NewEvent
from eventstore.client.fibers import aside
from eventstore.client.port import EventStore

ATTEMPTS = 12
FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.25


@dataclass(frozen=True)
class Executed:
    """The history that the decision was taken on, the decision's events, the version after them.

    `events` are the stored ones when an earlier run of the same decision got through.
    """

    history: list[Event]
    events: Sequence[NewEvent | Event]
    version: int


def execute(
    store: EventStore,
    aggregate_id: str,
    decide: Callable[[list[Event]], Sequence[NewEvent]],
    *,
    guarded: bool = True,
) -> Executed:
    """Load an aggregate, decide on its history, append what was decided.

    An event id that is stored already means that an earlier run of the same decision got
    through: its stored events are the answer, whatever this run decided.

    Args:
        decide: from the events so far to the new ones; called again after each conflict, so it
            must be free of effects. No events: nothing is appended.
        guarded: append only at the version read (a decision). False appends whatever happened
            meanwhile (a fact about the outside world).

    Raises:
        VersionConflict: others were faster, over and over.
        EventStoreError: as `EventStore.append`; and what `decide` raises.
    """
    for attempt in range(1, ATTEMPTS + 1):
        history = store.read_aggregate(aggregate_id)
        new = decide(history)
        if not new:
            return Executed(history, [], len(history))
        ids = {event.event_id for event in new}
        if stored := [event for event in history if event.event_id in ids]:
            return Executed(history, stored, len(history))
        try:
            appended = store.append(new, len(history) if guarded else None)
        except EventIdConflict:
            history = store.read_aggregate(aggregate_id)
            if not (stored := [event for event in history if event.event_id in ids]):
                raise
            return Executed(history, stored, len(history))
        except VersionConflict:
            if attempt == ATTEMPTS:
                raise
            _pause(attempt)
            continue
        return Executed(history, new, appended.versions[-1])
    raise AssertionError("unreachable")


def _pause(attempt: int) -> None:
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**attempt)
    seconds = random.uniform(0, longest)  # noqa: S311 - jitter, not a secret
    aside(partial(time.sleep, seconds))
