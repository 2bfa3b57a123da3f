"""Recomputes the summaries from the order rows, a day at a time, and puts right what differs."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

from django.db import connections
from django.db.models import Min

from queries import bulk
from queries.locking import committed_under_locks
from queries.models import DATABASE, CustomerSummary, OrderRow, RestaurantSummary
from queries.rows import SUMMARIES, SUMMARY_COUNTERS, summary_key

# One statement sees one snapshot: rows and summaries as some transaction left both.
_DIFFERENCES = """
SELECT coalesce(o.owner, s.owner), %s::date, coalesce(o.status, s.status),
       coalesce(o.currency, s.currency),
       coalesce(o.orders, 0) - coalesce(s.orders, 0), coalesce(o.amount, 0) - coalesce(s.amount, 0)
FROM (
    SELECT {owner} AS owner, status, currency, count(*) AS orders, sum(amount_minor) AS amount
    FROM {orders} WHERE created_on >= %s AND created_on <= %s GROUP BY 1, 2, 3
) AS o
FULL OUTER JOIN (
    SELECT {owner} AS owner, status, currency, orders, amount_minor AS amount
    FROM {summaries} WHERE day = %s
) AS s ON o.owner = s.owner AND o.status = s.status AND o.currency = s.currency
WHERE coalesce(o.orders, 0) <> coalesce(s.orders, 0)
   OR coalesce(o.amount, 0) <> coalesce(s.amount, 0)
ORDER BY 1, 3, 4
"""


@dataclass(frozen=True)
class DayChecked:
    """A day (UTC), and how many of its summaries differed from its orders."""

    day: date
    differences: int


def check(*, repair: bool) -> Iterator[DayChecked]:
    """Every day that has orders or summaries, oldest first."""
    day = _first_day(date.min)
    while day is not None:
        found = 0
        for kind in SUMMARIES:
            found += committed_under_locks(partial(_day, kind, day, repair))
        yield DayChecked(day, found)
        day = _first_day(day + timedelta(days=1)) if day < date.max else None


def _day(kind: str, day: date, repair: bool) -> int:
    """What differs is added by the database itself, however many summaries a day has."""
    model, owner = SUMMARIES[kind], f"{kind}_id"
    quote = connections[DATABASE].ops.quote_name
    sql = _DIFFERENCES.format(
        owner=quote(owner),
        orders=quote(OrderRow._meta.db_table),
        summaries=quote(model._meta.db_table),
    )
    first, last = (datetime.combine(day, moment, UTC) for moment in (time.min, time.max))
    parameters = [day, first, last, day]
    if repair:
        return bulk.add_selected(
            model, sql, parameters, key=summary_key(kind), counters=SUMMARY_COUNTERS
        )
    with connections[DATABASE].cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({sql}) AS different", parameters)  # noqa: S608
        return int(cursor.fetchone()[0])


def _first_day(since: date) -> date | None:
    """The first day from `since` on that has orders or summaries."""
    orders = OrderRow.objects.filter(created_on__gte=datetime.combine(since, time.min, UTC))
    first = orders.aggregate(first=Min("created_on"))["first"]
    days = [
        model._default_manager.filter(day__gte=since).aggregate(first=Min("day"))["first"]
        for model in (CustomerSummary, RestaurantSummary)
    ]
    found = [day for day in (first and first.date(), *days) if day]
    return min(found, default=None)
