"""`make check`'s last part: the production settings are clean, and no migration is missing."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

DATABASE = "cockroachdb://orders:secret@db.example:26257/{}?sslmode=verify-full"
PRODUCTION = {
    "ORDERS_PRODUCTION": "true",
    "ORDERS_SECRET_KEY": secrets.token_urlsafe(64),
    "ORDERS_ALLOWED_HOSTS": "orders.example",
    "ORDERS_DATABASE_URL": DATABASE.format("orders"),
    "ORDERS_EVENTSTORE_DATABASE_URL": DATABASE.format("eventstore"),
    "ORDERS_PAYMENTS_DATABASE_URL": DATABASE.format("payments"),
    "ORDERS_RESTAURANT_DATABASE_URL": DATABASE.format("restaurant"),
    "ORDERS_QUERIES_DATABASE_URL": DATABASE.format("queries"),
    "ORDERS_NATS_URL": "nats://orders:secret@nats.example:4222",
    "ORDERS_CELERY_BROKER_URL": "redis://:secret@valkey.example:6379/0",
    "ORDERS_GATEWAY_URL": "https://gateway.example",
    "ORDERS_GATEWAY_API_KEY": "secret",
}
COMMANDS = (
    ["check", "--deploy", "--fail-level", "WARNING"],
    ["makemigrations", "--check", "--dry-run"],
)


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ORDERS_")}
    failed = 0
    for command in COMMANDS:
        failed |= subprocess.run(
            [sys.executable, "-W", "ignore::RuntimeWarning", root / "manage.py", *command],
            env=clean | PRODUCTION,
            cwd=root,
            check=False,
        ).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
