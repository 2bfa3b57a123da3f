"""Query parameters, read strictly, and lists in pages: a cursor is where a page ended."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode

from django.core import signing
from django.db.models import Q, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

MAX_LENGTH = 255
DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100
PAGING = ("cursor", "page_size")

_REFUSED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffd]")
_DIGITS = re.compile(r"[0-9]{1,18}", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
# A signature, so that only cursors of our own are ever looked into.
_signer = signing.Signer(salt="queries.cursor")


def query_parameters(request: Request, allowed: Collection[str]) -> dict[str, str]:
    """The request's query parameters by name.

    Raises:
        ValidationError: one is not allowed, given twice, too long, or has a control character.
    """
    errors: dict[str, list[str]] = {}
    for name, values in request.query_params.lists():
        if name not in allowed:
            # Not echoed as it came: only what could be a parameter's name.
            errors[re.sub(r"[^\w-]", "?", name, flags=re.ASCII)[:40]] = ["is not a parameter here"]
        elif len(values) > 1:
            errors[name] = ["is given more than once"]
        elif len(values[0]) > MAX_LENGTH and name != "cursor":
            errors[name] = [f"is longer than {MAX_LENGTH} characters"]
        elif _REFUSED.search(values[0]):
            errors[name] = ["has a control character, or is not UTF-8"]
    if errors:
        raise ValidationError(errors)
    return request.query_params.dict()


def integer(parameters: Mapping[str, str], name: str, default: int, *, most: int) -> int:
    """A parameter that is an integer from 1 to `most`."""
    text = parameters.get(name)
    if text is None:
        return default
    if not _DIGITS.fullmatch(text) or not 1 <= int(text) <= most:
        raise ValidationError({name: [f"is not an integer from 1 to {most}"]})
    return int(text)


def day(parameters: Mapping[str, str], name: str) -> date | None:
    """A parameter that is a date, such as 2026-02-28."""
    text = parameters.get(name)
    if text is None:
        return None
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise ValidationError({name: ["is not a date, such as 2026-02-28"]}) from None


def choice(parameters: Mapping[str, str], name: str, choices: Sequence[str]) -> str | None:
    """A parameter that is one of a few words."""
    text = parameters.get(name)
    if text is not None and text not in choices:
        raise ValidationError({name: [f"is not one of {', '.join(choices)}"]})
    return text


@dataclass(frozen=True)
class Keyset:
    """The fields that a list is ordered by, all descending; together they are unique.

    `parsers` turn a cursor's texts back into the fields' values.
    """

    fields: tuple[str, ...]
    parsers: tuple[Callable[[str], Any], ...]

    def page(
        self, rows: "QuerySet[Any]", parameters: Mapping[str, str]
    ) -> tuple[list[Any], str | None]:
        """One page of rows, and the cursor of the next one; None after the last.

        Raises:
            ValidationError: `cursor` is not one of ours, or `page_size` is out of bounds.
        """
        size = integer(parameters, "page_size", DEFAULT_PAGE_SIZE, most=MAX_PAGE_SIZE)
        if "cursor" in parameters:
            rows = rows.filter(_after(self.fields, self._parse(parameters["cursor"])))
        found = list(rows.order_by(*(f"-{name}" for name in self.fields))[: size + 1])
        if len(found) <= size:
            return found, None
        last = [_as_text(getattr(found[size - 1], name)) for name in self.fields]
        return found[:size], _signer.sign_object(last)

    def _parse(self, cursor: str) -> list[Any]:
        try:
            texts = _signer.unsign_object(cursor)
            return [parse(text) for parse, text in zip(self.parsers, texts, strict=True)]
        except (signing.BadSignature, ValueError, TypeError):
            raise ValidationError({"cursor": ["is not a cursor of this list"]}) from None


NEWEST_ORDERS = Keyset(("created_on", "order_id"), (datetime.fromisoformat, str))


def newest_summaries(owner: str) -> Keyset:
    """Summaries by day, then by `owner`: the field of the customer or the restaurant."""
    return Keyset(("day", owner, "status", "currency"), (date.fromisoformat, str, str, str))


def next_url(request: Request, parameters: Mapping[str, str], cursor: str | None) -> str | None:
    """The address of the next page, with the filters of this one."""
    if cursor is None:
        return None
    return request.build_absolute_uri(
        f"{request.path}?{urlencode({**parameters, 'cursor': cursor})}"
    )


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _after(fields: Sequence[str], values: Sequence[Any]) -> Q:
    """Behind the row with these values; the bound on the first field alone lets an index start."""
    after = Q()
    for count, (name, value) in enumerate(zip(fields, values, strict=True)):
        same = dict(zip(fields[:count], values[:count], strict=True))
        after |= Q(**same, **{f"{name}__lt": value})
    return Q(**{f"{fields[0]}__lte": values[0]}) & after
