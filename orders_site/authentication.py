"""Who calls the REST API: API clients by bearer token, staff by their admin session."""

import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from orders_site.ordering.models import ApiClient, token_hash

MOST_REMEMBERED = 1_000


class RecentClients:
    """The API clients of the tokens that were shown lately, so that few calls cost a query.

    A token is kept as its hash only. A client that was deactivated is recognised no longer than
    `seconds` after it; a token that is nobody's is looked up each time.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        # Token's hash -> its client, and until when that is believed without a look.
        self._known: dict[str, tuple[ApiClient, float]] = {}

    def find(self, hashed: str) -> ApiClient | None:
        """The active client whose token has this hash."""
        now = self._clock()
        client, until = self._known.get(hashed, (None, 0.0))
        if now < until:
            return client
        client = ApiClient.with_token_hash(hashed)
        if client is None:
            self._known.pop(hashed, None)
        elif self._seconds:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[hashed] = (client, now + self._seconds)
        return client


recent_clients = RecentClients(settings.API_TOKEN_CACHE_SECONDS)


class ApiClientAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer <token>`; `request.auth` and `.user` are the ApiClient."""

    def authenticate(self, request: Request) -> tuple[Any, ApiClient] | None:
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        hashed = token_hash(token.strip())
        client = recent_clients.find(hashed) if hashed else None
        if client is None:
            raise exceptions.AuthenticationFailed("The token is not valid.")
        return client, client

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="orders"'


class StaffSessionAuthentication(authentication.SessionAuthentication):
    """The admin's session, for active staff only; `request.auth` is None then."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        authenticated = super().authenticate(request)
        if authenticated is None or not authenticated[0].is_staff:
            return None
        return authenticated


class ApiClientScheme(OpenApiAuthenticationExtension):
    """How OpenAPI describes the token."""

    target_class = ApiClientAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


class StaffSessionScheme(OpenApiAuthenticationExtension):
    """How OpenAPI describes the admin's session."""

    target_class = StaffSessionAuthentication
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
