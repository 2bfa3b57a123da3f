"""JSON as the API takes it: bounded, UTF-8, without what Python's parser lets through."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser

MAX_DIGITS = 40
MAX_DEPTH = 32
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class BodyTooLarge(APIException):
    """The body is larger than the API takes."""

    status_code = 413
    default_code = "body-too-large"
    default_detail = "The body is larger than 64 KiB."


class StrictJSONParser(BaseParser):
    """Parses a JSON body; numbers with a fraction or exponent become Decimal."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """The body's value.

        Raises:
            BodyTooLarge, ParseError.
            UnsupportedMediaType: for a charset other than UTF-8, and for what is compressed.
        """
        meta = parser_context["request"].META if parser_context else {}
        if meta.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() not in ("", "identity"):
            raise UnsupportedMediaType(media_type or "", "The body has no Content-Encoding.")
        charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", media_type or "", re.IGNORECASE)
        if charset and charset[1].lower() not in ("utf-8", "utf8"):
            raise UnsupportedMediaType(media_type or "", "The body is JSON in UTF-8.")
        body = stream.read(settings.MAX_BODY_BYTES + 1)
        if len(body) > settings.MAX_BODY_BYTES:
            raise BodyTooLarge
        try:
            text = body.decode("utf-8")
            value = _DECODER.decode(text)
            # Only an escape can have put such signs in, and only brackets nest.
            if "\\u" in text or text.count("[") + text.count("{") >= MAX_DEPTH:
                _check(value, MAX_DEPTH)
        except UnicodeDecodeError:
            raise ParseError("The body is not UTF-8.") from None
        except json.JSONDecodeError as error:
            raise ParseError(f"The body is not JSON: {error.msg} at {error.pos}.") from None
        except RecursionError:
            raise ParseError("The body is nested too deeply.") from None
        except ValueError as error:
            raise ParseError(str(error)) from None
        return value


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text) if len(text) <= MAX_DIGITS else None
    except InvalidOperation:  # an exponent beyond those of Decimal
        number = None
    if number is None or abs(number.adjusted()) > MAX_DIGITS:
        raise ValueError("A number in the body is out of range.")
    return number


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError("A number in the body is out of range.")
    return int(text)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("A key of the body stands twice in one object.")
    return value


_DECODER = json.JSONDecoder(
    parse_float=_decimal,
    parse_int=_integer,
    parse_constant=_refuse,
    object_pairs_hook=_object,
)


def _check(value: Any, depth: int) -> None:
    """Refuse what no database or log stores, and depth that later readers would trip over."""
    if depth == 0:
        raise RecursionError
    match value:
        case str():
            if _UNSTORABLE.search(value):
                raise ValueError("A text in the body has a NUL or half a surrogate pair.")
        case dict():
            for key, item in value.items():
                _check(key, depth)
                _check(item, depth - 1)
        case list():
            for item in value:
                _check(item, depth - 1)
