"""Answers in words what no view could: malformed requests, and an absent database."""

import logging
from collections.abc import Callable

from django.core.exceptions import ValidationError
from django.db import DataError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse

from orders_site.errors import problem_page

log = logging.getLogger(__name__)


class RefuseMalformedRequests:
    """400 for NUL bytes and values that the database can't read, 503 while the database is away."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        query = request.META.get("QUERY_STRING", "")
        if "\x00" in request.path or "%00" in query or "\x00" in query:
            return problem_page(request, 400, "A NUL byte has no place in a URL.")
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Called for what a view of the admin raised; the API has its own handler."""
        match exception:
            case OperationalError() | InterfaceError():
                log.warning(
                    "%s %s: the database is away: %s", request.method, request.path, exception
                )
                return problem_page(request, 503, "The database can't be reached; try again soon.")
            case DataError() | ValidationError():
                return problem_page(request, 400, "A value of the request can't be read.")
            case ValueError() if "NUL" in str(exception):
                return problem_page(request, 400, "A NUL byte has no place in a request.")
        return None
