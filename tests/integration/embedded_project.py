"""A small Django project, written into a folder, for the tests of the database backend."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psycopg

from orders_site.embedded.postgres import EmbeddedPostgres

SETTINGS = """
import os
from psycopg import IsolationLevel
SECRET_KEY = "for tests"
USE_TZ = True
ROOT_URLCONF = "shop"
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
    "django.contrib.sessions", "django.contrib.messages", "shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]},
}]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {
    "ENGINE": "orders_site.embedded.database",
    "NAME": os.environ["SHOP_DATABASE"],
    "USER": os.environ.get("SHOP_USER", "postgres"),
    "HOST": os.environ["SHOP_HOST"],
    "OPTIONS": {"isolation_level": IsolationLevel.SERIALIZABLE},
}}
"""

MODELS = """
from django.db import models

class Shop(models.Model):
    name = models.CharField(max_length=20, unique=True)
    visits = models.IntegerField(default=0)
    stars = models.CharField(max_length=10, default="0")
    facts = models.JSONField(default=dict)
    opened_at = models.DateTimeField(null=True)

class Item(models.Model):
    shop = models.ForeignKey(Shop, models.CASCADE)
    count = models.PositiveIntegerField(default=0)
"""

CHANGED_MODELS = MODELS.replace("unique=True", "db_index=True").replace(
    'stars = models.CharField(max_length=10, default="0")', "stars = models.IntegerField(default=0)"
)

DJANGO_TESTS = """
from django.test import TestCase, TransactionTestCase
from shop.models import Item, Shop

class Rows(TestCase):
    def test_rolls_back(self):
        Item.objects.create(shop=Shop.objects.create(name="a"))

class Flushed(TransactionTestCase):
    def test_first(self):
        self.assertEqual(Shop.objects.count(), 0)
        Item.objects.create(shop=Shop.objects.create(name="a"))

    def test_second(self):
        self.assertEqual(Shop.objects.count(), 0)
        Item.objects.create(shop=Shop.objects.create(name="a"))
"""


class Project:
    """A Django project in a folder, on a database of its own."""

    def __init__(self, folder: Path, postgres: EmbeddedPostgres, database: str, user="postgres"):
        self.folder = folder
        self.url = postgres.url(database)
        self.environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "shop_settings",
            "PYTHONPATH": f"{folder}:{os.getcwd()}",
            "SHOP_DATABASE": database,
            "SHOP_HOST": str(postgres.socket_dir),
            "SHOP_USER": user,
        }
        postgres.create_database(database)
        (folder / "shop" / "migrations").mkdir(parents=True)
        (folder / "shop" / "migrations" / "__init__.py").touch()
        (folder / "shop" / "__init__.py").write_text("urlpatterns = []\n")
        (folder / "shop_settings.py").write_text(SETTINGS)
        (folder / "shop" / "tests.py").write_text(DJANGO_TESTS)
        self.write_models(MODELS)

    def write_models(self, source: str) -> None:
        (self.folder / "shop" / "models.py").write_text(source)

    def manage(self, *arguments: str) -> str:
        """Run a management command; its output."""
        done = subprocess.run(
            [sys.executable, "-W", "error::RuntimeWarning", "-m", "django", *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def run(self, script: str) -> None:
        """Run a script that ends with asserts on the rows of `Shop` and `Item`."""
        imports = "from shop.models import Item, Shop\nfrom django.db import connection\n"
        self.manage("shell", "--no-imports", "-c", imports + textwrap.dedent(script))

    def sql(self, query: str):
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query).fetchall()
