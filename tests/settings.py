"""The product's settings over a data folder and ports of this test run's own."""

import os
import tempfile
from pathlib import Path

from orders_site.embedded.credentials import load_or_create
from orders_site.embedded.ports import free_port
from tests.database_server import given

if "ORDERS_DATA_DIR" not in os.environ:
    os.environ["ORDERS_DATA_DIR"] = tempfile.mkdtemp(prefix="orders-tests-")
    for name in ("NATS", "VALKEY", "WEB", "EVENTSTORE", "GATEWAY"):
        os.environ[f"ORDERS_{name}_PORT"] = str(free_port())
load_or_create(Path(os.environ["ORDERS_DATA_DIR"]))
if _server := given():
    os.environ |= _server.environment()

from orders_site.settings import *  # noqa: E402, F403 - they read the environment made above

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# No test database waits for another: a run may need only some of them.
for _database in DATABASES.values():  # noqa: F405
    _database.setdefault("TEST", {})["DEPENDENCIES"] = []
