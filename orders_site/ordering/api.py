"""The write side of the REST API: placing and cancelling. Reading is in the queries context."""

import re
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from eventstore.client.connection import event_store
from orders_site.negotiation import json_answer
from orders_site.ordering import bodies, domain, handlers
from orders_site.ordering.models import ApiClient
from orders_site.ordering.schema import cancel_order_schema, place_order_schema

_KEY = re.compile(r"[!-+\--~]{1,255}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class PlaceOrder(APIView):
    """Places orders for API clients."""

    @place_order_schema
    def post(self, request: Request) -> HttpResponse:
        if not isinstance(request.auth, ApiClient):
            raise PermissionDenied("Orders are placed with the token of an API client.")
        try:
            order = handlers.place_order(
                bodies.order_details(request.data, default_currency=settings.DEFAULT_CURRENCY),
                store=event_store(),
                client_id=request.auth.id,
                now=timezone.now(),
                idempotency_key=idempotency_key(request),
                traceparent=traceparent(request),
            )
        except domain.InvalidOrder as refused:
            raise ValidationError(refused.problems) from None
        location = f"{request.path.rstrip('/')}/{order.placed.order_id}"
        return json_answer(
            request, bodies.order_json(order, 1), status=201, headers={"Location": location}
        )


class CancelOrder(APIView):
    """Cancels an order, for the API client that placed it or for staff who may."""

    @cancel_order_schema
    def post(self, request: Request, order_id: UUID) -> HttpResponse:
        caller = _caller(request)
        reason = bodies.cancel_reason(request.data)
        order, version = handlers.cancel_order(
            str(order_id), reason, store=event_store(), caller=caller
        )
        return json_answer(request, bodies.order_json(order, version))


def _caller(request: Request) -> handlers.Caller:
    if isinstance(request.auth, ApiClient):
        return handlers.Caller(f"api-client:{request.auth.id}", request.auth.id)
    user: Any = request.user
    if not user.has_perm("ordering.view_all_orders"):
        raise domain.NoSuchOrder
    if not user.has_perm("ordering.cancel_order"):
        raise PermissionDenied("You may not cancel orders.")
    return handlers.Caller(f"staff:{user.get_username()}")


def idempotency_key(request: Request) -> str:
    """The request's Idempotency-Key; empty if it has none.

    Raises:
        ValidationError: it has an unusable one, or several.
    """
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return ""
    if "," in key:
        # WSGI joins a repeated header with commas, so a comma may mean two keys.
        raise ValidationError({"Idempotency-Key": ["is given once and has no comma"]})
    if not _KEY.fullmatch(key):
        raise ValidationError({"Idempotency-Key": ["has 1 to 255 visible ASCII characters"]})
    return key


def traceparent(request: Request) -> str:
    """The request's W3C trace context, if it is one."""
    value = request.META.get("HTTP_TRACEPARENT", "")
    return value if _TRACEPARENT.fullmatch(value) else ""
