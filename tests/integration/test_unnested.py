"""Columns of rows as binary arrays: the database reads from them what was put in."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connections, models, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore.client import arrays
from orders_site.unnested import Unnested, preparing_cursor
from queries import bulk
from queries.models import CustomerSummary, OrderItemRow, OrderRow

pytestmark = pytest.mark.django_db(databases=["queries"])

DAY = date(2026, 3, 1)


def read_back(kind: type[arrays.Array], values: Sequence[Any]) -> list[Any]:
    with preparing_cursor(connections["queries"]) as cursor:
        cursor.execute(
            f"SELECT value FROM unnest(%b::{kind.element}[]) WITH ORDINALITY AS t (value, place) "
            "ORDER BY place",
            [kind.of(values)],
        )
        found = [row[0] for row in cursor.fetchall()]
    return [bytes(value) if isinstance(value, memoryview) else value for value in found]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (arrays.Uuids, [UUID(int=0), uuid4(), UUID(int=2**128 - 1)]),
        (arrays.Texts, ["", "é 🍕 \u2028", '{a,"b"}', "NULL"]),
        (arrays.Integers, [0, -1, 2**63 - 1, -(2**63)]),
        (arrays.Days, [date.min, date(1999, 12, 31), DAY, date.max]),
        (arrays.Flags, [True, False]),
        (arrays.Blobs, [b"", b"\x00\xff"]),
        (arrays.Moments, [datetime(1969, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, 1, 2, 3, 4, UTC)]),
    ],
)
def test_an_array_is_read_as_what_was_put_in(kind: type[arrays.Array], values: list[Any]) -> None:
    assert read_back(kind, values) == values
    assert read_back(kind, []) == []


def test_an_absent_value_is_null() -> None:
    assert read_back(arrays.Texts, [None, "a", None]) == [None, "a", None]
    assert read_back(arrays.Integers, [None]) == [None]


def test_a_moment_is_the_same_in_every_time_zone() -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=-7)))
    assert read_back(arrays.Moments, [moment]) == [moment]


def summary(customer_id: str, orders: int, amount: int) -> tuple[Any, ...]:
    return (customer_id, DAY, "paid", "EUR", orders, amount)


def added(*rows: tuple[Any, ...]) -> list[int]:
    key = ("customer_id", "day", "status", "currency")
    with transaction.atomic(using="queries"):
        return bulk.written(
            [bulk.add(CustomerSummary, rows, key=key, counters=("orders", "amount_minor"))]
        )


def test_a_sum_beyond_64_bits_is_stored_to_the_unit() -> None:
    assert added(summary("a", 1, 2**80 + 1), summary("b", 1, 1)) == [2]
    assert added(summary("a", -3, -(2**80))) == [1]
    stored = CustomerSummary.objects.order_by("customer_id")
    assert [(row.orders, row.amount_minor) for row in stored] == [(-2, Decimal(1)), (1, Decimal(1))]


def test_a_text_that_is_too_long_is_refused_and_not_cut() -> None:
    with pytest.raises(Exception, match="too long"):
        added(summary("x" * 256, 1, 1))
    assert not CustomerSummary.objects.exists()


class Scan(models.Model):
    """A row with a column of each kind, whose table is there for a test only."""

    id = models.BigIntegerField(primary_key=True)
    picture = models.BinaryField()
    pages = models.SmallIntegerField(null=True)
    at = models.DateTimeField()
    of = models.JSONField(null=True)

    class Meta:
        app_label = "tests"

    def __str__(self) -> str:
        return str(self.id)


class Delay(models.Model):
    """A row with a column of a type that has no array."""

    id = models.BigIntegerField(primary_key=True)
    longest = models.DurationField()

    class Meta:
        app_label = "tests"

    def __str__(self) -> str:
        return str(self.id)


def test_rows_come_back_as_they_were_given_whatever_their_columns_are() -> None:
    rows = [
        (1, b"\x00\xff'{", 7, datetime(2026, 3, 1, 1, 2, 3, 4, UTC), {"a": [None, "é"]}),
        (2, b"", None, datetime(1, 1, 1, tzinfo=UTC), None),
    ]
    unnested = Unnested(Scan, "queries")
    with transaction.atomic(using="queries"):
        with connections["queries"].schema_editor(collect_sql=True) as editor:
            editor.create_model(Scan)
        with preparing_cursor(connections["queries"]) as cursor:
            for statement in editor.collected_sql:
                cursor.execute(statement)
            cursor.execute(unnested.insert(), unnested.arrays(rows))
        found = Scan.objects.using("queries").order_by("id").values_list()
        assert [(id_, bytes(picture), *rest) for id_, picture, *rest in found] == rows
        # As the ORM would have it: not JSON's null.
        assert Scan.objects.using("queries").filter(of__isnull=True).count() == 1
        transaction.set_rollback(True, using="queries")


def test_a_column_that_has_no_array_is_refused_and_not_made_a_text() -> None:
    with pytest.raises(NotImplementedError, match="interval"):
        Unnested(Delay, "queries").insert()
    with pytest.raises(NotImplementedError, match="interval"):
        Unnested(Delay, "queries").arrays([(1, timedelta(seconds=1))])


def test_an_error_of_one_write_is_that_of_all_and_nothing_stays() -> None:
    item: tuple[Any, ...] = ("order-1", 1, "M1", "Margherita", 1250, 2)
    writes = [
        bulk.insert_absent(OrderItemRow, [item]),
        bulk.overwrite(OrderRow, [("order-1", *[None] * 15)]),
        bulk.insert_absent(OrderItemRow, [("order-1", 2, *item[2:])]),
    ]
    with pytest.raises(IntegrityError), transaction.atomic(using="queries"):
        bulk.written(writes)
    assert not OrderItemRow.objects.exists()
    assert added(summary("a", 1, 1)) == [1]


def test_each_write_tells_how_many_rows_it_was() -> None:
    item: tuple[Any, ...] = ("order-1", 1, "M1", "Margherita", 1250, 2)
    with transaction.atomic(using="queries"):
        counts = bulk.written(
            [
                bulk.insert_absent(OrderItemRow, [item]),
                bulk.insert_absent(OrderRow, []),
                bulk.insert_absent(OrderItemRow, [item, ("order-1", 2, *item[2:])]),
            ]
        )
    assert counts == [1, 0, 1]


def test_the_text_is_the_same_for_any_rows_so_that_it_is_prepared() -> None:
    unnested = Unnested(OrderItemRow, "queries")
    assert "jsonb[]" not in unnested.insert()
    for number in range(7):
        with transaction.atomic(using="queries"):
            rows = [("o", number * 10 + line, "c", "n", 1, 1) for line in range(number + 1)]
            bulk.written([bulk.insert_absent(OrderItemRow, rows)])
    with connections["queries"].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %s",
            ['%queries_orderitemrow" AS stored%'],
        )
        assert cursor.fetchone()[0] >= 1


ELEMENTS: dict[type[arrays.Array], st.SearchStrategy[Any]] = {
    arrays.Uuids: st.uuids(),
    arrays.Texts: st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    arrays.Integers: st.integers(-(2**63), 2**63 - 1),
    arrays.Days: st.dates(),
    arrays.Flags: st.booleans(),
    arrays.Blobs: st.binary(),
    arrays.Moments: st.datetimes(timezones=st.just(UTC)),
}


@given(st.data())
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_array_with_nulls_anywhere_is_read_as_what_was_put_in(data: st.DataObject) -> None:
    assert set(ELEMENTS) == set(arrays.Array.__subclasses__())
    kind = data.draw(st.sampled_from(list(ELEMENTS)))
    values = data.draw(st.lists(st.none() | ELEMENTS[kind], max_size=20))
    assert read_back(kind, values) == values
