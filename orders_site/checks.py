"""System checks: everything that is wrong with the settings, at once, each with a hint."""

import sys
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from eventstore.client.checks import SETTINGS_CHECKS

LOOPBACK = ("127.0.0.1", "::1", "localhost")
# What production can't take from the embedded servers of `manage.py up`.
REQUIRED_IN_PRODUCTION = (
    "SECRET_KEY",
    "ALLOWED_HOSTS",
    "DATABASE_URL",
    "EVENTSTORE_DATABASE_URL",
    "PAYMENTS_DATABASE_URL",
    "RESTAURANT_DATABASE_URL",
    "QUERIES_DATABASE_URL",
    "NATS_URL",
    "CELERY_BROKER_URL",
    "GATEWAY_URL",
    "GATEWAY_API_KEY",
)
FILES = (
    "CHECKPOINT_DIR",
    "CHECKPOINT_KEY_FILE",
    "EVENTSTORE_TLS_CERTIFICATE",
    "EVENTSTORE_TLS_KEY",
    "EVENTSTORE_TLS_CA",
)
# The processes that run with less, each alone; the web process shows all contexts in the admin.
REQUIRED_ALONE = {
    "run_eventstore": ("EVENTSTORE_DATABASE_URL", "NATS_URL"),
    "run_publisher": ("EVENTSTORE_DATABASE_URL", "NATS_URL"),
    **dict.fromkeys(
        ("verify_log", "export_log", "import_log", "grant_writer"), ("EVENTSTORE_DATABASE_URL",)
    ),
    "sign_checkpoint": ("CHECKPOINT_KEY_FILE",),
    "subscribe_ordering": ("DATABASE_URL", "NATS_URL"),
    "subscribe_payments": ("PAYMENTS_DATABASE_URL", "NATS_URL", "GATEWAY_URL", "GATEWAY_API_KEY"),
    "subscribe_queries": ("QUERIES_DATABASE_URL", "NATS_URL"),
    "subscribe_restaurant": ("RESTAURANT_DATABASE_URL", "NATS_URL"),
}


@register(SETTINGS_CHECKS)
def environment(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Values that could not be read, and variables that nothing reads."""
    hint = "See docs/settings.md."
    read = settings.ENVIRONMENT
    return [
        *(Error(problem, hint=hint, id="orders.E001") for problem in read.problems),
        *(
            Warning(f"{name} is not a setting.", hint=hint, id="orders.W001")
            for name in read.unknown()
        ),
    ]


@register(SETTINGS_CHECKS)
def production(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What must be given, and what must not be, when ORDERS_PRODUCTION is on."""
    return list(_production()) if settings.PRODUCTION else []


def _production() -> Iterator[CheckMessage]:
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    for name in REQUIRED_ALONE.get(command, REQUIRED_IN_PRODUCTION):
        if not settings.ENVIRONMENT.given(name):
            yield Error(
                f"ORDERS_{name} is not set.",
                hint="Production has no embedded servers and no generated secrets.",
                id="orders.E002",
            )
    if settings.DEBUG:
        yield Error("ORDERS_DEBUG is on in production.", hint="Unset it.", id="orders.E003")


@register(SETTINGS_CHECKS, Tags.security)
def encryption(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The event store's gRPC port leaves this machine only under mutual TLS."""
    certificates = (
        settings.EVENTSTORE_TLS_CERTIFICATE,
        settings.EVENTSTORE_TLS_KEY,
        settings.EVENTSTORE_TLS_CA,
    )
    if any(certificates) and not all(certificates):
        return [
            Error(
                "ORDERS_EVENTSTORE_TLS_CERTIFICATE, _KEY and _CA go together.",
                hint="Set all three, or none on a loopback address.",
                id="orders.E004",
            )
        ]
    if settings.EVENTSTORE_HOST not in LOOPBACK and not any(certificates):
        return [
            Error(
                "The event store would listen beyond this machine without TLS.",
                hint="Set ORDERS_EVENTSTORE_TLS_CERTIFICATE, _KEY and _CA.",
                id="orders.E005",
            )
        ]
    return []


@register(SETTINGS_CHECKS)
def gateway_key(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What we show the gateway fits into an HTTP header."""
    if settings.GATEWAY_API_KEY.isascii() and settings.GATEWAY_API_KEY.isprintable():
        return []
    return [
        Error(
            "ORDERS_GATEWAY_API_KEY has signs that no header can carry.",
            hint="Keys are visible ASCII.",
            id="orders.E008",
        )
    ]


@register(SETTINGS_CHECKS)
def streams(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The log has the stream that orders are in, and each once: two publishers would fight."""
    from eventstore.client.events import DEFAULT_STREAM
    from eventstore.client.validation import is_stream_name

    names = settings.EVENTSTORE_STREAMS
    once = len(set(names)) == len(names)
    if DEFAULT_STREAM in names and once and all(map(is_stream_name, names)):
        return []
    return [
        Error(
            f"ORDERS_EVENTSTORE_STREAMS lacks {DEFAULT_STREAM}, names a stream twice, or has an "
            "impossible name.",
            hint="Names are of letters, digits, - and _, with commas between them.",
            id="orders.E007",
        )
    ]


@register(SETTINGS_CHECKS)
def files(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Files are named from the root: each process has a folder of its own to run in."""
    return [
        Error(
            f"ORDERS_{name} is no absolute path.",
            hint="Relative to where a process runs, it would name a file for each of them.",
            id="orders.E009",
        )
        for name in FILES
        if getattr(settings, name) and not PurePath(getattr(settings, name)).is_absolute()
    ]


@register(SETTINGS_CHECKS)
def currency(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The default currency is one that money can be counted in."""
    from orders_site.money import CURRENCIES

    if settings.DEFAULT_CURRENCY in CURRENCIES:
        return []
    return [
        Error(
            "ORDERS_DEFAULT_CURRENCY is not an active ISO 4217 currency.",
            hint="Such as EUR, USD or JPY.",
            id="orders.E006",
        )
    ]
