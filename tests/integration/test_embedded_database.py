"""The database backend on the embedded Postgres: rows, locks, JSON, keys, Django's own tests."""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from orders_site.embedded.postgres import EmbeddedPostgres
from tests.integration.embedded_project import Project


@pytest.fixture(scope="module")
def postgres():
    data_dir = Path(tempfile.mkdtemp(prefix="orders-backend-"))
    server = EmbeddedPostgres(data_dir, durable=False)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(data_dir)


@pytest.fixture(scope="module")
def project(postgres, tmp_path_factory):
    """A project whose migrations have run on an empty database."""
    project = Project(tmp_path_factory.mktemp("project"), postgres, "shop")
    project.manage("makemigrations", "shop")
    project.manage("migrate")
    return project


def test_given_a_migrated_database_when_migrating_again_then_there_is_nothing_to_do(project):
    assert "No migrations to apply" in project.manage("migrate")
    assert "No changes detected" in project.manage("makemigrations", "--check")


def test_given_the_backend_when_asked_then_it_is_cockroachdbs_with_postgres_version(project):
    project.run("""
        assert connection.vendor == "cockroachdb"
        assert connection.get_database_version() >= (16,)
        assert connection.features.is_cockroachdb_26_3
        assert connection.features.has_select_for_update_skip_locked
        assert not connection.features.can_rollback_ddl
    """)


def test_given_auto_keys_when_inserting_then_unique_rowid_gives_them(project):
    assert "DEFAULT unique_rowid()" in project.manage("sqlmigrate", "shop", "0001")

    project.run("""
        first, second = Shop.objects.create(name="k1"), Shop.objects.create(name="k2")
        assert 2**53 < first.pk < second.pk < 2**63
        item = Item.objects.create(shop=first, count=2**40)
        item.refresh_from_db()
        assert (item.shop_id, item.count) == (first.pk, 2**40)
    """)


def test_given_many_sessions_when_calling_unique_rowid_at_once_then_no_number_comes_twice(project):
    def numbers(_):
        return [row[0] for row in project.sql("SELECT unique_rowid() FROM generate_series(1,5000)")]

    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(numbers, range(16)))

    assert len({number for some in given for number in some}) == 16 * 5000


def test_given_locked_rows_when_selecting_for_update_then_skip_locked_and_nowait_work(project):
    project.run("""
        from django.db import connections, OperationalError, transaction
        Shop.objects.bulk_create([Shop(name="free"), Shop(name="locked")])
        mine = connections["default"]
        other = mine.copy(alias="other")
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT 1 FROM shop_shop WHERE name = 'locked' FOR UPDATE")
            rows = Shop.objects.filter(name__in=["free", "locked"]).order_by("name")
            with transaction.atomic():
                assert [s.name for s in rows.select_for_update(skip_locked=True)] == ["free"]
            try:
                with transaction.atomic():
                    list(rows.select_for_update(nowait=True))
            except OperationalError as error:
                assert error.__cause__.sqlstate == "55P03"
            else:
                raise AssertionError("the lock was not noticed")
        other.close()
    """)


def test_given_json_when_filtering_then_keys_containment_and_nesting_work(project):
    project.run("""
        Shop.objects.create(name="json", facts={"city": "Bari", "a": {"b": [1, 2]}})
        for lookup in (
            {"facts__city": "Bari"}, {"facts__a__b__0": 1}, {"facts__has_key": "city"},
            {"facts__contains": {"city": "Bari"}}, {"facts__city__icontains": "BAR"},
            {"facts__a__b__1__gte": 2},
        ):
            assert Shop.objects.get(**lookup).facts["a"] == {"b": [1, 2]}, lookup
    """)


def test_given_rows_when_bulk_creating_again_then_conflicts_are_ignored_or_updated(project):
    project.run("""
        from django.utils import timezone
        now = timezone.now()
        Shop.objects.bulk_create([Shop(name="b1", visits=1, opened_at=now), Shop(name="b2")])
        again = lambda: [Shop(name="b1", visits=9), Shop(name="b3", visits=9)]
        Shop.objects.bulk_create(again(), ignore_conflicts=True)
        assert Shop.objects.get(name="b1").visits == 1
        Shop.objects.bulk_create(
            again(), update_conflicts=True, unique_fields=["name"], update_fields=["visits"]
        )
        assert Shop.objects.get(name="b1").visits == Shop.objects.get(name="b3").visits == 9
        assert Shop.objects.get(name="b1").opened_at == now
        assert Shop.objects.filter(name="b1").update(visits=2**40) == 1
    """)


def test_given_the_admins_tables_when_making_a_superuser_then_it_has_permissions(project):
    project.run("""
        from django.contrib.admin.models import LogEntry
        from django.contrib.auth.models import Group, Permission, User
        user = User.objects.create_superuser("root", password="x")
        group = Group.objects.create(name="staff")
        group.permissions.set(Permission.objects.filter(content_type__app_label="shop"))
        user.groups.add(group)
        assert user.has_perm("shop.add_shop") and group.permissions.count() == 8
        LogEntry.objects.log_actions(user.pk, [group], 1)
    """)


def test_given_tables_when_introspected_then_inspectdb_describes_them(project):
    described = project.manage("inspectdb")

    assert "class ShopItem(models.Model):" in described
    assert "shop = models.ForeignKey('ShopShop'" in described
    assert "visits = models.BigIntegerField()" in described


def test_given_django_tests_when_run_then_the_test_database_is_made_flushed_and_dropped(project):
    output = project.manage("test", "--noinput", "shop")

    assert "Ran 3 tests" in output
    assert project.sql("SELECT 1 FROM pg_database WHERE datname = 'test_shop'") == []


def test_given_the_role_of_another_when_inserting_then_it_may_use_the_function(project):
    with psycopg.connect(project.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE clerk")
        connection.execute("GRANT INSERT, SELECT ON shop_item, shop_shop TO clerk")
        connection.execute("SET ROLE clerk")
        row = connection.execute(
            "INSERT INTO shop_shop (name, visits, stars, facts) VALUES ('c', 0, '0', '{}') "
            "RETURNING id"
        ).fetchone()

    assert row[0] > 2**53
