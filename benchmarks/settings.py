"""The product's settings, and beside its databases one for what is built the plain Django way."""

from importlib.util import find_spec

from orders_site.settings import *  # noqa: F403
from orders_site.settings import DATABASE_ROUTERS, DATABASES, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks.plain"]
if find_spec("eventsourcing_django"):
    INSTALLED_APPS.append("eventsourcing_django")
# Django's own backend with its own defaults, but for a connection per thread that lasts.
DATABASES["plain"] = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": "plain",
    "USER": DATABASES["default"]["USER"],
    "HOST": DATABASES["default"]["HOST"],
    "PORT": DATABASES["default"]["PORT"],
    "CONN_MAX_AGE": None,
}
DATABASE_ROUTERS = ["benchmarks.plain.router.PlainRouter", *DATABASE_ROUTERS]
