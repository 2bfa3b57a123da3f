"""Transactions on a context's own rows, run again when the database could not serialise them."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import Error, transaction

ATTEMPTS = 10
LONGEST_PAUSE_SECONDS = 0.2
# Serialisation failure and deadlock: the whole transaction was rolled back and may be run again.
# So may a duplicate key: get-or-create bumps into a row that its snapshot is too old to see.
_RUN_AGAIN = {"40001", "40P01", "23505"}

Result = TypeVar("Result")


def committed(alias: str, work: Callable[[], Result]) -> Result:
    """Run `work` in a transaction of its own on the database `alias`; it has committed on return.

    `work` may run several times, so it must have no effect but on that database.

    Raises:
        RuntimeError: called inside a transaction, where nothing could be promised.
        django.db.Error: as the last attempt raised it.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with transaction.atomic(using=alias, durable=True):
                return work()
        except Error as error:
            if attempt == ATTEMPTS or not _may_run_again(error):
                raise
        time.sleep(random.uniform(0, min(LONGEST_PAUSE_SECONDS, 0.005 * 2**attempt)))  # noqa: S311
    raise AssertionError("unreachable")


def _may_run_again(error: BaseException | None) -> bool:
    while error is not None:
        if getattr(error, "sqlstate", None) in _RUN_AGAIN:
            return True
        error = error.__cause__
    return False
