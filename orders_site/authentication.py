"""Who calls the REST API: API clients by bearer token, staff by their admin session."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from orders_site.ordering.models import ApiClient


class ApiClientAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer <token>`; `request.auth` and `.user` are the ApiClient."""

    def authenticate(self, request: Request) -> tuple[Any, ApiClient] | None:
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        client = ApiClient.authenticate(token.strip())
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
