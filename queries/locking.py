"""Transactions that rely on row locks alone, for work that must get through beside busy workers."""

from collections.abc import Callable
from typing import TypeVar

from django.db import connections

from orders_site.transactions import committed
from queries.models import DATABASE

Result = TypeVar("Result")


def committed_under_locks(work: Callable[[], Result]) -> Result:
    """Run `work` at READ COMMITTED in a transaction of its own, which has committed on return.

    Right for what locks the rows it changes and changes sums by deltas. At SERIALIZABLE a large
    page loses to a stream of small transactions over and over: PostgreSQL finds conflicts by
    index page, also between rows that have nothing to do with each other.
    """

    def locked() -> Result:
        with connections[DATABASE].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        return work()

    return committed(DATABASE, locked)
