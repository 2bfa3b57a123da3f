"""The sandbox's HTTP API without its sockets: who may ask, what a path means, how errors answer.

POST /v1/charges {amount, currency, token?, order_id?}   with Idempotency-Key
POST /v1/refunds {charge, amount, currency?, reason?}    with Idempotency-Key
GET  /v1/charges/{id}   /v1/charges?idempotency_key=   /v1/refunds?idempotency_key=
GET  /v1/movements?after=&limit=   /v1/balance   /healthz (the only one without a key)
"""

import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from payments.gateways.sandbox import answers, parameters
from payments.gateways.sandbox.answers import Answer
from payments.gateways.sandbox.ledger import LedgerUnavailable
from payments.gateways.sandbox.parameters import InvalidParameter
from payments.gateways.sandbox.service import Service

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """`headers` has lower-case names; the values of one that came repeatedly are joined."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Api:
    def __init__(self, service: Service, api_key: str) -> None:
        self._service = service
        self._authorization = f"Bearer {api_key}".encode()
        self._posts: dict[str, Callable[[str, bytes], Answer]] = {
            "/v1/charges": self._charge,
            "/v1/refunds": self._refund,
        }
        self._gets: dict[str, Callable[[dict[str, str]], Answer]] = {
            "/v1/charges": lambda query: self._by_key("capture", query),
            "/v1/refunds": lambda query: self._by_key("refund", query),
            "/v1/movements": self._movements,
            "/v1/balance": lambda query: self._service.balance(),
        }

    def answer(self, request: Request) -> Answer:
        """Never raises; text of exceptions stays in our log."""
        try:
            return self._route(request)
        except InvalidParameter as error:
            return answers.invalid(error.code, error.message)
        except LedgerUnavailable as error:
            logger.error("ledger unavailable: %s", error)
            return answers.unavailable()
        except Exception:
            logger.exception("a request failed")
            return answers.server_error()

    def _route(self, request: Request) -> Answer:
        path, query = _split(request.target)
        if path == "/healthz" and request.method == "GET":
            return self._service.health()
        if not self._authorized(request):
            return answers.failure(
                401,
                "authentication_error",
                "api_key_invalid",
                "Send a valid API key as Authorization: Bearer <key>.",
                (("WWW-Authenticate", "Bearer"),),
            )
        if request.method == "POST" and (post := self._posts.get(path)):
            return self._post(post, request)
        if request.method == "GET" and (get := self._gets.get(path)):
            return get(query)
        if request.method == "GET" and path.startswith("/v1/charges/"):
            return self._service.find_charge(path.removeprefix("/v1/charges/"))
        return answers.missing("path for this method")

    def _authorized(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").encode("utf-8", "replace")
        return hmac.compare_digest(given, self._authorization)

    def _post(self, post: Callable[[str, bytes], Answer], request: Request) -> Answer:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != "application/json":
            return answers.invalid("content_type_invalid", "Send application/json.", 415)
        return post(parameters.parse_key(request.headers.get("idempotency-key")), request.body)

    def _charge(self, key: str, body: bytes) -> Answer:
        data = parameters.parse_json_object(body)
        return self._service.charge(key, parameters.parse_charge(data))

    def _refund(self, key: str, body: bytes) -> Answer:
        data = parameters.parse_json_object(body)
        return self._service.refund(key, parameters.parse_refund(data))

    def _by_key(self, kind: str, query: dict[str, str]) -> Answer:
        key = parameters.parse_key(query.get("idempotency_key"))
        return self._service.find_by_key(kind, key)

    def _movements(self, query: dict[str, str]) -> Answer:
        after = parameters.parse_cursor(query.get("after"))
        return self._service.movements(after, parameters.parse_limit(query.get("limit")))


def _split(target: str) -> tuple[str, dict[str, str]]:
    try:
        parts = urlsplit(target)
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=10)
    except ValueError as error:
        raise InvalidParameter("url_invalid", "The URL is not valid.") from error
    return parts.path, dict(pairs)
