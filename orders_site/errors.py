"""Every refusal of the API as RFC 9457 problem details, from one table of error classes."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from eventstore.client import (
    EventIdConflict,
    InvalidEvent,
    TooManyEvents,
    TransientError,
    UnknownSchemaVersion,
    VersionConflict,
)
from eventstore.client.errors import ResultTooLarge, UnknownStream
from orders_site.ordering.domain import CannotCancel, NoSuchOrder
from orders_site.ordering.handlers import IdempotencyKeyReused
from orders_site.ordering.messages import MalformedEvent

log = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = 2
INCOMPLETE = "The body ended before its Content-Length"


@dataclass(frozen=True)
class Problem:
    """One row of the table: how errors of a class are answered."""

    status: int
    type: str
    title: str


# First match wins; what is not here is a 500 without a word of the exception.
PROBLEMS: dict[type[Exception], Problem] = {
    NoSuchOrder: Problem(404, "no-such-order", "Not Found"),
    CannotCancel: Problem(409, "cannot-cancel", "The order is too far on to be cancelled"),
    IdempotencyKeyReused: Problem(
        422, "idempotency-key-reused", "The Idempotency-Key was used for another order"
    ),
    MalformedEvent: Problem(409, "order-unreadable", "The order's events can't be read"),
    UnknownSchemaVersion: Problem(
        503, "unavailable", "An event of the order is newer than this program"
    ),
    VersionConflict: Problem(409, "conflict", "Others changed the order at the same time"),
    TooManyEvents: Problem(409, "order-full", "The order has as many events as one may have"),
    EventIdConflict: Problem(409, "conflict", "Others changed the order at the same time"),
    ResultTooLarge: Problem(409, "order-unreadable", "The order has more events than can be read"),
    UnknownStream: Problem(503, "unavailable", "The log of orders is not there yet"),
    InvalidEvent: Problem(400, "invalid", "The request can't be recorded"),
    TransientError: Problem(503, "unavailable", "A part that this needs is away for the moment"),
    OperationalError: Problem(503, "unavailable", "A part that this needs is away for the moment"),
    InterfaceError: Problem(503, "unavailable", "A part that this needs is away for the moment"),
    DataError: Problem(400, "invalid", "A value of the request can't be read"),
    Http404: Problem(404, "not-found", "Not Found"),
    PermissionDenied: Problem(403, "permission-denied", "Not allowed"),
    UnreadablePostError: Problem(400, "body-incomplete", INCOMPLETE),
    SuspiciousOperation: Problem(400, "bad-request", "The request is malformed"),
}
# Their text is made for the client; that of the others stays in the log.
SPEAKING: tuple[type[Exception], ...] = (NoSuchOrder, CannotCancel, VersionConflict, InvalidEvent)
# Those of RFC 9110, which Python has had since 3.13; before, older ones.
_PHRASES: dict[int, str] = {413: "Content Too Large", 422: "Unprocessable Content"}


def problem(exc: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's EXCEPTION_HANDLER: any exception of a view, as a problem response."""
    request = context.get("request")
    if request is not None:
        # Also where the view itself shows a page.
        request.accepted_renderer = JSONRenderer()
        request.accepted_media_type = JSONRenderer.media_type
    if isinstance(exc, exceptions.APIException):
        return _of_api_exception(exc)
    row = next((row for class_, row in PROBLEMS.items() if isinstance(exc, class_)), None)
    if row is None:
        log.error("Unhandled in %s", getattr(request, "path", "?"), exc_info=exc)
        row = Problem(500, "internal-error", "Something went wrong here; it has been logged")
    if row.status == HTTPStatus.SERVICE_UNAVAILABLE:
        log.warning("%s: %s", getattr(request, "path", "?"), exc)
    detail = str(exc) if isinstance(exc, SPEAKING) else ""
    return _response(row.status, row.type, row.title, detail)


def _of_api_exception(exc: exceptions.APIException) -> Response:
    headers: dict[str, str] = {}
    if header := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if wait := getattr(exc, "wait", None):
        headers["Retry-After"] = str(int(wait))
    if isinstance(exc, exceptions.ValidationError):
        detail = exc.detail
        errors = detail if isinstance(detail, dict) else {"": detail}
        return _response(
            400, "validation-failed", "The request has invalid fields", "", headers, errors=errors
        )
    codes = exc.get_codes()
    slug = codes if isinstance(codes, str) else exc.default_code
    title = _phrase(exc.status_code)
    return _response(exc.status_code, slug.replace("_", "-"), title, str(exc.detail), headers)


def _phrase(status: int) -> str:
    return _PHRASES.get(status) or HTTPStatus(status).phrase


def _response(
    status: int,
    slug: str,
    title: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    **extra: Any,
) -> Response:
    all_headers = dict(headers or {})
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        all_headers.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    body = problem_body(status, slug, title, detail) | extra
    return Response(body, status=status, headers=all_headers, content_type=PROBLEM_JSON)


def problem_body(status: int, slug: str, title: str, detail: str = "") -> dict[str, Any]:
    """The JSON of one problem; `type` is a relative URI that names the kind."""
    body = {"type": f"/problems/{slug}", "title": title, "status": status}
    return body | ({"detail": detail} if detail else {})


def problem_page(request: HttpRequest, status: int, detail: str) -> HttpResponse:
    """A refusal outside of DRF: problem details under /api/, a line of text elsewhere."""
    phrase = _phrase(status)
    response: HttpResponse
    if request.path.startswith("/api/"):
        slug = phrase.lower().replace(" ", "-")
        response = JsonResponse(
            problem_body(status, slug, phrase, detail), status=status, content_type=PROBLEM_JSON
        )
    else:
        response = HttpResponse(f"{phrase}. {detail}\n", status=status, content_type="text/plain")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400."""
    return problem_page(request, 400, "The request is malformed.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    return problem_page(request, 404, "There is nothing at this address.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500; Django has logged the exception by then."""
    return problem_page(request, 500, "Something went wrong here; it has been logged.")
