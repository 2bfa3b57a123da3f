"""Answers what no view could: probes, malformed requests, and an absent database. And keeps
sessions away from requests that show a token.
"""

import logging
from collections.abc import Callable

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import ValidationError
from django.db import DataError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, UnreadablePostError

from orders_site.errors import INCOMPLETE, problem_page
from orders_site.health import Health, Liveness
from orders_site.metrics import Metrics

log = logging.getLogger(__name__)


class AnswerProbes:
    """Answers probes first of all: they come by IP address and without TLS, from inside."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.probes = {
            "/healthz": Liveness.as_view(),
            "/readyz": Health.as_view(),
            "/metrics": Metrics.as_view(),
        }

    def __call__(self, request: HttpRequest) -> HttpResponse:
        probe = self.probes.get(request.path)
        return probe(request) if probe else self.get_response(request)


class RefuseMalformedRequests:
    """400 for what no view can read, 411 for a body of unknown length, 503 without the database."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        query = request.META.get("QUERY_STRING", "")
        if "\x00" in request.path or "%00" in query or "\x00" in query:
            return problem_page(request, 400, "A NUL byte has no place in a URL.")
        if "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH"):
            # Django would take such a body for an empty one.
            return problem_page(request, 411, "Send the body's Content-Length, not in chunks.")
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Called for what a view of the admin raised; the API has its own handler."""
        match exception:
            case OperationalError() | InterfaceError():
                log.warning(
                    "%s %s: the database is away: %s", request.method, request.path, exception
                )
                return problem_page(request, 503, "The database can't be reached; try again soon.")
            case UnreadablePostError():
                return problem_page(request, 400, f"{INCOMPLETE}.")
            case DataError() | ValidationError():
                return problem_page(request, 400, "A value of the request can't be read.")
            case ValueError() if "NUL" in str(exception):
                return problem_page(request, 400, "A NUL byte has no place in a request.")
        return None


class _NotForTokens:
    """Lets a request of the API pass that shows a token: it is authenticated by that or refused."""

    get_response: Callable[[HttpRequest], HttpResponse]

    def __call__(self, request: HttpRequest) -> HttpResponse:
        scheme = request.META.get("HTTP_AUTHORIZATION", "")[:7].lower()
        if scheme == "bearer " and request.path.startswith("/api/"):
            return self.get_response(request)
        answer: HttpResponse = super().__call__(request)  # type: ignore[misc]
        return answer


class Sessions(_NotForTokens, SessionMiddleware):
    """Django's, for people."""


class SessionUsers(_NotForTokens, AuthenticationMiddleware):
    """Django's, for people."""


class SessionMessages(_NotForTokens, MessageMiddleware):
    """Django's, for people."""
