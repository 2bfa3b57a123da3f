"""The database connections of threads that answer requests: each looks after those it opened."""

import threading
from typing import Any

from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created


class _Opened(threading.local):
    """What this thread opened, by alias of the database."""

    def __init__(self) -> None:
        self.connections: dict[str, BaseDatabaseWrapper] = {}


_opened = _Opened()


def look_after_opened() -> None:
    """Check after a request only the connections that its thread has, not all that there may be.

    Django's receivers ask for each database three times in a request whether the thread has a
    connection to it, which costs more than authentication does. Most requests need no database.
    """
    request_started.disconnect(reset_queries)
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    connection_created.connect(_remember)
    request_started.connect(_look_after)
    request_finished.connect(_look_after)


def _remember(connection: BaseDatabaseWrapper, **_: Any) -> None:
    _opened.connections[connection.alias] = connection


def _look_after(**_: Any) -> None:
    for connection in _opened.connections.values():
        connection.queries_log.clear()
        connection.close_if_unusable_or_obsolete()
