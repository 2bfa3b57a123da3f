"""How the admin shows what contexts have in common: JSON, long texts, links between pages."""

import contextlib
import json

from django.contrib.admin.utils import quote
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

MOST_GROWTH = 10
MOST_GROWTH_OF_SHORT = 10_000
_INDENTING = json.JSONEncoder(indent=2, ensure_ascii=False)
# Whoever has a page for an aggregate gives its URL this name; without one there is no link.
AGGREGATE_PAGE = "aggregate"
# What that page asks of its visitors.
AGGREGATE_PERMISSION = "queries.view_orderrow"

_PRE = (
    "white-space: pre-wrap; overflow-wrap: anywhere; margin: 0;"
    " font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 12px; line-height: 1.5;"
)


def preformatted(text: str) -> SafeString | str:
    """A text as it is, line by line, escaped; what no page can carry is written as \\x.."""
    if not text:
        return ""
    printable = text.encode("utf-8", "backslashreplace").decode()
    return format_html('<pre style="{}">{}</pre>', _PRE, printable)


def pretty_json(text: str) -> SafeString | str:
    """JSON text with indentation, escaped; as it is if it can't be read, or would grow too much."""
    with contextlib.suppress(ValueError, RecursionError):
        text = _indented(text)
    return preformatted(text)


def _indented(text: str) -> str:
    """Raises ValueError if it would be far larger: a long list that is nested deep is, a thousand
    times.
    """
    parts, size, most = list[str](), 0, MOST_GROWTH * len(text) + MOST_GROWTH_OF_SHORT
    for part in _INDENTING.iterencode(json.loads(text)):
        parts.append(part)
        size += len(part)
        if size > most:
            raise ValueError
    return "".join(parts)


def aggregate_link(aggregate_id: str) -> SafeString | str:
    """A link to the aggregate's page."""
    return linked(aggregate_id, AGGREGATE_PAGE, aggregate_id)


def change_page_link(text: object, app_and_model: str, pk: object) -> SafeString | str:
    """A link to a row's page in the admin, such as ("...", "payments_payment", id)."""
    return linked(text, f"admin:{app_and_model}_change", pk)


def linked(text: object, page: str, *ids: object) -> SafeString | str:
    """A link to a named page; the text alone if there is none."""
    if not all(ids):
        return str(text)
    try:
        url = reverse(page, args=[quote(str(id_)) for id_ in ids])
    except NoReverseMatch:
        return str(text)
    return format_html('<a class="text-link" href="{}">{}</a>', url, text)
