"""Telling an outage (nobody's fault, wait) from a conflict (run again) and from a bad message."""

import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from django.db import Error, IntegrityError, InterfaceError, OperationalError

from eventstore.client.errors import RetryLater, TransientError
from eventstore.client.fibers import aside

T = TypeVar("T")

CONFLICT_ATTEMPTS = 8
LONGEST_PAUSE_SECONDS = 0.5
# SQLSTATE classes of OperationalErrors that no message can cause: connection, transaction
# rollback, resources, locks, an operator's intervention, the system beneath.
_OUTAGE_CLASSES = {"08", "40", "53", "55", "57", "58"}
# A database that takes no writes; a transaction that was idle too long, as in a suspended process.
_OUTAGES_OF_OTHER_CLASSES = {"25006", "25P03"}
_CONFLICTS = {"40001", "40P01"}
_UNIQUE_VIOLATION = "23505"


def is_outage(error: BaseException) -> bool:
    """Whether something that we need is away; RetryLater is about one message and is not."""
    return not isinstance(error, RetryLater) and any(map(_is_outage, _chain(error)))


def is_conflict(error: BaseException) -> bool:
    """Whether another transaction was in the way, so that the whole may simply be run again."""
    return any(
        isinstance(each, Error)
        and (
            _sqlstate(each) in _CONFLICTS
            or (isinstance(each, IntegrityError) and _sqlstate(each) == _UNIQUE_VIOLATION)
        )
        for each in _chain(error)
    )


def run_through_conflicts(work: Callable[[], T]) -> T:
    """Run `work` again, a few times and with pauses, while others are in its way.

    It must be whole: the transaction and all that was read for it.
    """
    for attempt in range(1, CONFLICT_ATTEMPTS):
        try:
            return work()
        except Error as error:
            if not is_conflict(error):
                raise
        longest = min(LONGEST_PAUSE_SECONDS, 0.01 * 2**attempt)
        seconds = random.uniform(0, longest)  # noqa: S311 - jitter, not a secret
        aside(partial(time.sleep, seconds))
    return work()


def _is_outage(error: BaseException) -> bool:
    if isinstance(error, TransientError | InterfaceError):
        return True
    if not isinstance(error, Error):
        return False
    state = _sqlstate(error)
    return state in _OUTAGES_OF_OTHER_CLASSES or (
        isinstance(error, OperationalError) and (not state or state[:2] in _OUTAGE_CLASSES)
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)


def _sqlstate(error: BaseException) -> str:
    return getattr(error.__cause__, "sqlstate", None) or ""
