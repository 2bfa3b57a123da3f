"""Lists in the admin that stay quick over any number of rows: bounded counts, indexed orders."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.contrib.admin import ListFilter
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.dateparse import parse_date, parse_time
from django.utils.functional import cached_property
from unfold.contrib.filters.admin import RangeDateFilter, RangeDateTimeFilter
from unfold.views import ChangeList

MOST_ROWS = 10_000
MOST_CHOICES = 50
# What the filters of a list add to a field's name in the URL.
_SUFFIXES = (
    *("", "__exact", "__isnull", "__gte", "__lt"),
    *("_from", "_to", "_from_0", "_from_1", "_to_0", "_to_1"),
)


class BoundedPaginator(Paginator):
    """Counts to MOST_ROWS and no further; who looks for older rows filters."""

    template_name = "eventstore/admin/pagination.html"

    @cached_property
    def _counted(self) -> int:
        found: Any = self.object_list
        return found.order_by()[: MOST_ROWS + 1].count()

    @property
    def count(self) -> int:
        return min(self._counted, MOST_ROWS)

    @property
    def is_capped(self) -> bool:
        """Whether there are more rows than the pages show."""
        return self._counted > MOST_ROWS


class FixedOrder(ChangeList):
    """In the order that the admin class names, which an index serves, whatever the URL asks."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet) -> list[str]:
        return list(self.model_admin.get_ordering(request))

    def get_ordering_field_columns(self) -> dict[int, str]:
        return {}


def lookups_of(list_filter: Any) -> set[str]:
    """The parameters in a list's URL that its filters understand."""
    names = set()
    for entry in list_filter:
        name = entry[0] if isinstance(entry, tuple) else entry
        if isinstance(name, str):
            names |= {name + suffix for suffix in _SUFFIXES}
        elif issubclass(name, ListFilter):
            names.add(name.parameter_name)
    return names


def distinct_values(rows: QuerySet, field: str) -> list[str]:
    """The values of an indexed text field, at most MOST_CHOICES: a seek for each, no scan."""
    values: list[str] = []
    while len(values) < MOST_CHOICES:
        later = rows.filter(**{f"{field}__gt": values[-1]}) if values else rows
        found = later.order_by(field).values_list(field, flat=True).first()
        if found is None:
            break
        values.append(found)
    return values


class DayRange(RangeDateFilter):
    """Rows of the days from ... to ..., both included, in UTC."""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        name = self.parameter_name
        first = moment(self.used_parameters.get(f"{name}_from"), "", time.min)
        last = moment(self.used_parameters.get(f"{name}_to"), "", time.max)
        return between(queryset, str(name), first, last)


class TimeRange(RangeDateTimeFilter):
    """Rows from a moment to a moment, in UTC; a day alone is the whole day."""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        given, name = self.used_parameters.get, self.parameter_name
        first = moment(given(f"{name}_from_0"), given(f"{name}_from_1"), time.min)
        last = moment(given(f"{name}_to_0"), given(f"{name}_to_1"), time.max)
        return between(queryset, str(name), first, last)


def moment(day: Any, clock: Any, otherwise: time) -> datetime | None:
    """A day and a time of a form, in UTC; None unless they can be read."""
    try:
        parsed_day = parse_date(day) if isinstance(day, str) else None
        parsed_time = parse_time(clock) if isinstance(clock, str) else None
    except ValueError:
        return None
    if parsed_day is None:
        return None
    at = (parsed_time or otherwise).replace(tzinfo=None)
    return datetime.combine(parsed_day, at, tzinfo=UTC)


def between(rows: QuerySet, field: str, first: datetime | None, last: datetime | None) -> QuerySet:
    """The rows whose field is from `first` to `last`, both included; None is no bound."""
    if first is not None:
        rows = rows.filter(**{f"{field}__gte": first})
    if last is not None:
        rows = rows.filter(**{f"{field}__lte": last})
    return rows


def start_of(day: date) -> datetime:
    """The first moment of a day, in UTC."""
    return datetime.combine(day, time.min, tzinfo=UTC)


def end_of(day: date) -> datetime:
    """The first moment after a day, in UTC."""
    return start_of(day) + timedelta(days=1)
