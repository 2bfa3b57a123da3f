"""Whether this web process lives, and whether what it needs answers."""

from typing import Any

from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views import View

from eventstore.client import EventStoreError
from eventstore.client.connection import event_store


class Liveness(View):
    """GET /healthz: 200 while the process serves."""

    def get(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse({"status": "alive"})


class Health(View):
    """GET /readyz: 200 when the process can take orders, else 503 naming the part that is away."""

    def get(self, request: HttpRequest) -> JsonResponse:
        parts: dict[str, Any] = {"database": _database(), "event_store": _event_store()}
        ready = all(parts.values())
        return JsonResponse(
            {"status": "ready" if ready else "unavailable", "parts": parts},
            status=200 if ready else 503,
        )


def _database() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return False
    return True


def _event_store() -> bool:
    try:
        event_store().head()
    except EventStoreError:
        return False
    return True
