"""Which representation a client of the API gets, found out at little cost."""

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request


class QuickNegotiation(DefaultContentNegotiation):
    """As DRF's own, without its work for the usual headers, which each request would pay."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[Any, str]:
        accept = request.META.get("HTTP_ACCEPT", "*/*")
        first = renderers[0]
        named = format_suffix or "format" in request.META.get("QUERY_STRING", "")
        if accept in ("*/*", first.media_type) and not named:
            return first, first.media_type
        return super().select_renderer(request, renderers, format_suffix)
