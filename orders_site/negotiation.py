"""Which representation a client of the API gets, found out and made at little cost."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpResponse
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

# As DRF's renderer does it, which makes an encoder for each answer.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class QuickNegotiation(DefaultContentNegotiation):
    """As DRF's own, without its work for the usual headers, which each request would pay."""

    def select_parser(self, request: Request, parsers: Sequence[BaseParser]) -> BaseParser | None:
        if request.content_type == parsers[0].media_type:
            return parsers[0]
        return super().select_parser(request, parsers)

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[Any, str]:
        accept = request.META.get("HTTP_ACCEPT", "*/*")
        first = renderers[0]
        if accept in ("*/*", first.media_type) and not format_suffix:
            return first, first.media_type
        return super().select_renderer(request, renderers, format_suffix)


def json_answer(
    request: Request,
    body: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """The answer to a request that the view is about to return, written as JSON at once.

    DRF's own is made empty, as a template, and rendered later, in several times the time.

    Args:
        body: of texts, numbers, lists and objects; no text has a line separator of Unicode.
    """
    if request.accepted_media_type != JSONRenderer.media_type:
        # Such as `application/json; indent=4`.
        return Response(body, status=status, headers=headers)
    content = _ENCODER.encode(body).encode()
    return HttpResponse(content, JSONRenderer.media_type, status, headers=headers)
