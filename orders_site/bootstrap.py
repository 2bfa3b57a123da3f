"""What a first start needs to be useful: databases, someone to log in as, and a way to order."""

import os
import secrets
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from orders_site.embedded.credentials import write_private
from orders_site.ordering.models import ApiClient

ADMIN = "admin"
DEMO_CLIENT = "demo"


def api_token_path() -> Path:
    """Where the demo API client's token is kept."""
    return Path(settings.DATA_DIR) / "api-token"


def admin_password_path() -> Path:
    """Where the first admin's password is kept."""
    return Path(settings.DATA_DIR) / "admin-password"


def migrate() -> list[str]:
    """Bring every context's database to the newest schema; the aliases that needed it."""
    migrated = []
    for alias in settings.DATABASES:
        executor = MigrationExecutor(connections[alias])
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", database=alias, interactive=False, verbosity=0)
            migrated.append(alias)
    connections.close_all()
    return migrated


def ensure_admin() -> str | None:
    """Create the first superuser; its password if it was created now."""
    users = get_user_model()
    if users.objects.filter(is_superuser=True).exists():
        return None
    password = secrets.token_urlsafe(16)
    write_private(admin_password_path(), password + os.linesep)
    users.objects.create_superuser(ADMIN, password=password)
    return password


def ensure_api_client() -> str | None:
    """Create the demo API client; its token if it was created now."""
    if ApiClient.objects.filter(name=DEMO_CLIENT).exists() and api_token_path().exists():
        return None
    ApiClient.objects.filter(name=DEMO_CLIENT).delete()
    _, token = ApiClient.issue(DEMO_CLIENT)
    write_private(api_token_path(), token + os.linesep)
    return token
