"""What clients should not send, sent to the real web server: a clear refusal, never a 5xx."""

import json
import socket
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.system import System, order_body

ITEM = order_body()["order_items"][0]
DEEP = 990
TEXT = "application/json"


def changed(**fields: Any) -> dict[str, Any]:
    return order_body() | fields


def with_item(**fields: Any) -> dict[str, Any]:
    return order_body() | {"order_items": [ITEM | fields]}


def raw(text: str) -> bytes:
    return text.encode()


WELL = json.dumps(order_body())
MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "brace": b"{",
    "null": b"null",
    "list": b"[]",
    "number": b"1",
    "string": b'"order"',
    "bad utf-8": b'{"customer_id": "\xff\xfe"}',
    "byte order mark": b"\xef\xbb\xbf" + raw(WELL),
    "utf-16": WELL.encode("utf-16"),
    "trailing garbage": raw(WELL + "x"),
    "two bodies": raw(WELL + WELL),
    "NaN": raw(WELL.replace('"12.50"', "NaN")),
    "Infinity": raw(WELL.replace('"12.50"', "-Infinity")),
    "1e400": raw(WELL.replace('"12.50"', "1e400")),
    "1e999999999": raw(WELL.replace('"12.50"', "1e999999999")),
    **{
        number: raw(WELL.replace('"12.50"', number))
        for sign in ("", "-")
        for number in (f"{sign}1E{'9' * 20}", f"{sign}0E{'9' * 20}", f"{sign}1E-{'9' * 20}")
    },
    "5,000 digits": raw(WELL.replace('"12.50"', "9" * 5000)),
    "5,000 digits as a quantity": raw(WELL.replace('"quantity": 1', '"quantity": ' + "9" * 5000)),
    "nested 990 deep": raw('{"customer_id": ' + "[" * DEEP + "]" * DEEP + "}"),
    "nested 30,000 deep": raw("[" * 30_000 + "]" * 30_000),
    "duplicate key": raw(WELL.replace("{", '{"customer_id": "b", ', 1)),
    "escaped NUL": raw(WELL.replace("ada", "a\\u0000b")),
    "lone surrogate": raw(WELL.replace("ada", "a\\ud800b")),
    "real NUL": raw(WELL.replace("ada", "a\x00b")),
}
INVALID: dict[str, dict[str, Any]] = {
    "status given": changed(status="approved"),
    "id given": changed(id=str(uuid.uuid4())),
    "amount given": changed(amount="1.00"),
    "unknown field": changed(colour="red"),
    "unknown field of an item": with_item(price="1.00"),
    "no customer": {k: v for k, v in order_body().items() if k != "customer_id"},
    "empty customer": changed(customer_id=""),
    "customer as a number": changed(customer_id=7),
    "customer null": changed(customer_id=None),
    "customer too long": changed(customer_id="x" * 1000),
    "control characters": changed(customer_id="a\r\nb"),
    "no items": changed(order_items=[]),
    "items null": changed(order_items=None),
    "items as a dict": changed(order_items={"0": ITEM}),
    "an item null": changed(order_items=[None]),
    "101 items": changed(order_items=[ITEM] * 101),
    "negative price": with_item(unit_price="-1.00"),
    "zero in all": with_item(unit_price="0.00"),
    "fraction of a cent": with_item(unit_price="1.001"),
    "exponent": with_item(unit_price="1e3"),
    "underscore": with_item(unit_price="1_0"),
    "Arabic digits": with_item(unit_price="١٢"),
    "price true": with_item(unit_price=True),
    "price null": with_item(unit_price=None),
    "price with blanks": with_item(unit_price=" 1.00"),
    "price as NaN text": with_item(unit_price="NaN"),
    "price beyond all sums": with_item(unit_price="9" * 20),
    "quantity 0": with_item(quantity=0),
    "quantity -1": with_item(quantity=-1),
    "quantity 2^31": with_item(quantity=2**31),
    "quantity 1.5": with_item(quantity=1.5),
    "quantity true": with_item(quantity=True),
    "quantity as text": with_item(quantity="1"),
    "unknown currency": changed(currency="XYZ"),
    "currency in small letters": changed(currency="eur"),
    "currency as a list": changed(currency=["EUR"]),
    "name too long": with_item(name="x" * 10_000),
    "empty code": with_item(code=""),
}
KEYS = {
    "empty": "",
    "too long": "k" * 256,
    "blank inside": "a b",
    "two keys": "a, b",
    "not ASCII": "schlüssel",
    "control character": "a\tb",
}
QUERIES = (
    "status=%00",
    "status=nonsense",
    "customer_id=%00",
    "customer_id=%ff",
    "cursor=forged",
    "cursor=" + "A" * 3000,
    "page_size=0",
    "page_size=-1",
    "page_size=101",
    "page_size=many",
    "page_size=" + "9" * 50,
    "colour=red",
    "format=xml",
)


@pytest.fixture(scope="module")
def api(system: System) -> Iterator[httpx.Client]:
    with system.api() as client:
        yield client


def refused(reply: httpx.Response, *statuses: int) -> None:
    assert reply.status_code in statuses, (reply.status_code, reply.text[:300])
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert problem["status"] == reply.status_code
    assert problem["title"]
    assert "Traceback" not in reply.text
    assert "psycopg" not in reply.text


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_body_is_refused(api: httpx.Client, body: bytes) -> None:
    refused(api.post("/orders", content=body, headers={"Content-Type": TEXT}), 400)


@pytest.mark.parametrize("body", INVALID.values(), ids=INVALID)
def test_an_invalid_order_is_refused_by_field(api: httpx.Client, body: dict[str, Any]) -> None:
    reply = api.post("/orders", json=body)
    refused(reply, 400)
    assert reply.json()["errors"]


@pytest.mark.parametrize("size", [64 * 1024 + 1, 2_000_000])
def test_a_body_beyond_64_kib_is_too_large(api: httpx.Client, size: int) -> None:
    body = raw(WELL) + b" " * (size - len(WELL))
    refused(api.post("/orders", content=body, headers={"Content-Type": TEXT}), 413)


def test_a_body_of_exactly_64_kib_is_taken(api: httpx.Client) -> None:
    body = raw(WELL) + b" " * (64 * 1024 - len(WELL))
    reply = api.post("/orders", content=body, headers={"Content-Type": TEXT})
    assert reply.status_code == 201


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/json; charset=punycode",
        "application/jsonx",
        ";",
    ],
)
def test_another_content_type_is_refused(api: httpx.Client, content_type: str) -> None:
    reply = api.post("/orders", content=raw(WELL), headers={"Content-Type": content_type})
    refused(reply, 415)


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "x"])
def test_a_compressed_body_is_refused(api: httpx.Client, encoding: str) -> None:
    headers = {"Content-Type": TEXT, "Content-Encoding": encoding}
    refused(api.post("/orders", content=raw(WELL), headers=headers), 415)


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_senseless_idempotency_key_is_refused(api: httpx.Client, key: str) -> None:
    headers = [("Idempotency-Key", key.encode("latin-1"))]
    refused(api.post("/orders", json=order_body(), headers=headers), 400)


def test_a_repeated_idempotency_key_header_is_refused(api: httpx.Client) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    refused(api.post("/orders", json=order_body(), headers=headers), 400)


@pytest.mark.parametrize("query", QUERIES)
def test_a_senseless_query_is_refused(api: httpx.Client, query: str) -> None:
    refused(api.get(f"/orders?{query}"), 400)


@pytest.mark.parametrize("value", ["0x1", "-1", "1.5", "", "9" * 30, "%00"])
def test_a_senseless_min_version_is_refused(api: httpx.Client, value: str) -> None:
    refused(api.get(f"/orders/{uuid.uuid4()}?min_version={value}"), 400)


@pytest.mark.parametrize(
    "path",
    [
        "/orders/nonsense",
        "/orders/{00000000-0000-0000-0000-000000000000}",
        "/orders/00000000-0000-0000-0000-000000000000",
        "/orders/" + "a" * 5000,
        "/orders/%00",
        "/orders/..%2f..%2fadmin",
        "/nothing/here",
    ],
)
def test_what_is_not_there_is_not_found(api: httpx.Client, path: str) -> None:
    refused(api.get(path), 400, 404)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE"])
def test_other_methods_are_refused(api: httpx.Client, method: str) -> None:
    refused(api.request(method, "/orders"), 405)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong", "Basic YTpi", "Bearer \xff", "Bearer " + "x" * 9000],
)
def test_without_a_valid_token_nothing_is_answered(system: System, authorization: str) -> None:
    headers = {"Authorization": authorization.encode("latin-1")} if authorization else {}
    reply = httpx.get(f"{system.site}/api/orders", headers=headers)
    refused(reply, 401)
    assert reply.headers["www-authenticate"].startswith("Bearer")


def test_a_foreign_host_is_refused(api: httpx.Client) -> None:
    refused(api.get("/orders", headers={"Host": "evil.example"}), 400)


def test_an_accept_header_that_asks_for_something_else_is_answered(api: httpx.Client) -> None:
    refused(api.get("/orders", headers={"Accept": "text/csv"}), 406)
    assert api.get("/orders", headers={"Accept": "*/*;q=junk"}).status_code in (200, 406)


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /api/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1e9\r\n\r\n",
        b"POST /api/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
        b"Content-Length: 2\r\n\r\n",
        b"GET /api/orders\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 900_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"nonsense\r\n\r\n",
    ],
)
def test_broken_http_is_refused_or_cut(system: System, request_: bytes) -> None:
    with socket.create_connection(("127.0.0.1", system.ports["WEB"]), timeout=20) as connection:
        answer = b""
        try:
            connection.sendall(request_)
            answer = connection.recv(4096)
        except ConnectionError:
            pass
    assert answer == b"" or b" 40" in answer[:20] or b" 43" in answer[:20], answer[:200]


def test_clients_that_leave_early_do_no_harm(system: System) -> None:
    body = raw(WELL)
    head = (
        f"POST /api/orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {system.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    for sent in (head, head + body[:20], head + body):
        for _ in range(20):
            connection = socket.create_connection(("127.0.0.1", system.ports["WEB"]), timeout=5)
            connection.sendall(sent)
            connection.close()
    assert system.order(system.place())


def test_a_body_that_ends_early_is_refused(system: System) -> None:
    head = (
        f"POST /api/orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {system.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(WELL) + 1}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", system.ports["WEB"]), timeout=20) as connection:
        connection.sendall(raw(head + WELL))
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(4096)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("queries/orderrow/?customer_id__regex=(((", 400),
        ("queries/orderrow/?" + "a=1&" * 3000, 400),
        ("queries/orderrow/add/", 403),
        ("queries/orderrow/x/", 302),
    ],
)
def test_the_admin_refuses_what_it_has_no_page_for(system: System, path: str, status: int) -> None:
    with httpx.Client(base_url=f"{system.site}/admin/") as browser:
        browser.get("login/")
        form = {
            "username": "admin",
            "password": system.admin_password,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        }
        assert browser.post("login/", data=form).status_code == 302
        assert browser.get(path).status_code == status


def test_nothing_of_all_this_was_an_error_here(system: System) -> None:
    log = (system.data_dir / "log" / "web.log").read_text()
    assert "Traceback" not in log
    assert " ERROR " not in log
    assert "WARNING django.security.DisallowedHost: Invalid HTTP_HOST header: 'evil.example'" in log
