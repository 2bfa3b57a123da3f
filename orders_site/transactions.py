"""Transactions on a context's own rows, run again when the database could not serialise them."""

from collections.abc import Callable
from typing import TypeVar

from django.db import transaction

from eventstore.client.fibers import aside
from eventstore.client.outages import run_through_conflicts

Result = TypeVar("Result")


def committed(alias: str, work: Callable[[], Result]) -> Result:
    """Run `work` in a transaction of its own on the database `alias`; it has committed on return.

    `work` may run several times, so it must have no effect but on that database.

    Raises:
        RuntimeError: called inside a transaction, where nothing could be promised.
        django.db.Error: as the last attempt raised it.
    """

    def once() -> Result:
        with transaction.atomic(using=alias, durable=True):
            return work()

    return aside(lambda: run_through_conflicts(once))
