"""Migrations on the embedded Postgres: changed models, flush, a modest role, several at once."""

import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from orders_site.embedded.postgres import EmbeddedPostgres
from tests.integration.embedded_project import CHANGED_MODELS, Project


@pytest.fixture(scope="module")
def postgres():
    data_dir = Path(tempfile.mkdtemp(prefix="orders-backend-"))
    server = EmbeddedPostgres(data_dir, durable=False)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(data_dir)


def test_given_changed_models_when_migrating_both_ways_then_types_and_constraints_follow(
    postgres, tmp_path
):
    project = Project(tmp_path, postgres, "changing")
    project.manage("makemigrations", "shop")
    project.manage("migrate")
    project.run("Shop.objects.create(name='a', stars='3')")
    project.write_models(CHANGED_MODELS)
    project.manage("makemigrations", "shop", "--name", "changed")
    project.manage("migrate")
    project.run("""
        Shop.objects.create(name="a", stars=4)
        assert sorted(Shop.objects.values_list("stars", flat=True)) == [3, 4]
        Shop.objects.filter(stars=4).delete()
    """)

    project.manage("migrate", "shop", "0001")

    columns = project.sql(
        "SELECT data_type FROM information_schema.columns "
        "WHERE table_name = 'shop_shop' AND column_name = 'stars'"
    )
    assert columns == [("character varying",)]
    project.manage("migrate", "shop", "zero")


def test_given_rows_when_flushed_then_tables_are_empty_and_keys_go_on(postgres, tmp_path):
    project = Project(tmp_path, postgres, "flushed")
    project.manage("makemigrations", "shop")
    project.manage("migrate")
    project.run("Item.objects.create(shop=Shop.objects.create(name='a'))")

    project.manage("flush", "--noinput")

    project.run("""
        assert not Shop.objects.exists()
        assert Shop.objects.create(name="a").pk > 2**53
    """)


def test_given_a_role_without_superuser_when_migrating_its_database_then_it_works(
    postgres, tmp_path
):
    project = Project(tmp_path, postgres, "modest", user="modest")
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE ROLE modest LOGIN")
        connection.execute("ALTER DATABASE modest OWNER TO modest")
    project.manage("makemigrations", "shop")

    project.manage("migrate")

    project.run("assert Shop.objects.create(name='a').pk > 2**53")


def test_given_an_empty_database_when_migrated_twice_at_once_then_the_function_is_there(
    postgres, tmp_path
):
    project = Project(tmp_path, postgres, "raced")
    create = (
        "import django; django.setup()\nfrom django.db import connection\n"
        "connection.prepare_database()"
    )

    def prepare(_):
        return subprocess.run([sys.executable, "-c", create], env=project.environment).returncode

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(prepare, range(4))) == [0, 0, 0, 0]
    assert project.sql("SELECT unique_rowid() > 2^53") == [(True,)]
