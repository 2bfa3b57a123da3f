"""Settings of a plain Django site with the one endpoint that is compared."""

import os
from pathlib import Path

from orders_site.embedded.postgres import PORT, ROLE, socket_dir

SECRET_KEY = "for a benchmark on loopback"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "benchmarks.plain.web"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "rest_framework",
    "rest_framework.authtoken",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "plain_site",
        "USER": ROLE,
        "HOST": str(socket_dir(Path(os.environ["ORDERS_DATA_DIR"]))),
        "PORT": str(PORT),
        "CONN_MAX_AGE": None,
    }
}
