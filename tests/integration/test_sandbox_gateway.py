"""The sandbox as a process: kill -9, hostile input, its command line and its stop."""

import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from payments.gateways.http import HttpGateway
from payments.gateways.port import Charge, ChargeRequest, GatewayUnavailable
from payments.gateways.sandbox.process import SandboxProcess

KEY = "a-key-for-tests"
ROOT = Path(__file__).resolve().parents[2]
CHARGE = {"amount": 500, "currency": "EUR"}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    ledger = tmp_path_factory.mktemp("sandbox") / "ledger.sqlite3"
    with SandboxProcess(ledger, KEY, hang_seconds=30) as process:
        yield process
        status, errors = process.stop()
        assert (status, errors) == (0, ""), "no request may leave a traceback"


@pytest.fixture
def client(sandbox: SandboxProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.url, headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield client


def post(client: httpx.Client, path: str = "/v1/charges", **changes: Any) -> httpx.Response:
    content = changes.pop("content", None) or json.dumps({**CHARGE, **changes}).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
    return client.post(path, content=content, headers=headers)


def a_charge(key: str) -> ChargeRequest:
    return ChargeRequest(idempotency_key=key, order_id=key, amount_minor=700, currency="EUR")


def movements(gateway: HttpGateway) -> list[Any]:
    found: list[Any] = []
    while page := gateway.list_movements(found[-1].cursor if found else None, limit=1000):
        found += page
    return found


def charge_until_dead(url: str, acknowledged: dict[str, Charge]) -> None:
    with HttpGateway(url, KEY) as gateway:
        while True:
            key = str(uuid.uuid4())
            request = a_charge(key)
            try:
                acknowledged[key] = gateway.charge(request)
            except GatewayUnavailable:
                return


def wait_for(condition: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def test_kill_9_loses_no_acknowledged_charge_and_doubles_none(tmp_path: Path) -> None:
    ledger, acknowledged = tmp_path / "ledger.sqlite3", dict[str, Charge]()
    for life in range(1, 6):
        with SandboxProcess(ledger, KEY) as process, ThreadPoolExecutor(4) as pool:
            before = len(acknowledged)
            asked = [pool.submit(charge_until_dead, process.url, acknowledged) for _ in range(4)]
            wait_for(lambda: len(acknowledged) > before + 20 * life)  # noqa: B023
            process.kill()
            for future in asked:
                future.result()
    with SandboxProcess(ledger, KEY) as process, HttpGateway(process.url, KEY) as gateway:
        captures = {movement.idempotency_key: movement.reference for movement in movements(gateway)}
        assert len(captures) == len(movements(gateway))
        assert {key: captures.get(key) for key in acknowledged} == {
            key: charge.reference for key, charge in acknowledged.items()
        }
        for key, charge in list(acknowledged.items())[-20:]:
            request = a_charge(key)
            assert gateway.charge(request) == gateway.find_charge(key) == charge
        assert len(movements(gateway)) == len(captures)


def test_two_sandboxes_on_one_ledger_charge_a_key_once(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite3"
    with SandboxProcess(ledger, KEY) as one, SandboxProcess(ledger, KEY) as other:
        gateways = [HttpGateway(process.url, KEY) for process in (one, other)]

        def ask(number: int) -> str:
            key = f"key-{number // 4}"
            request = a_charge(key)
            while True:
                try:
                    return gateways[number % 2].charge(request).reference
                except GatewayUnavailable:
                    continue

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(ask, range(200)))) == 50
        assert len(movements(gateways[0])) == 50
        for gateway in gateways:
            gateway.close()


def test_replies_follow_stripes_semantics(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}

    def ask(**changes: Any) -> httpx.Response:
        return client.post("/v1/charges", json={**CHARGE, **changes}, headers=headers)

    invalid = ask(amount=-1)
    assert invalid.status_code == 400, "refused before execution: the key is still free"
    declined, replayed, reused = ask(token="tok_decline"), ask(token="tok_decline"), ask()
    assert (declined.status_code, declined.json()["error"]["code"]) == (402, "card_declined")
    assert "Idempotent-Replayed" not in declined.headers
    assert (replayed.content, replayed.headers["Idempotent-Replayed"]) == (declined.content, "true")
    assert (reused.status_code, reused.json()["error"]["type"]) == (422, "idempotency_error")
    limited = post(client, token="tok_rate_limited")
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "1")


def test_a_key_in_progress_answers_409_to_charges_and_look_ups(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    with ThreadPoolExecutor(1) as pool:
        body = {**CHARGE, "token": "tok_slow"}
        slow = pool.submit(client.post, "/v1/charges", json=body, headers=headers)
        query = {"idempotency_key": headers["Idempotency-Key"]}
        wait_for(lambda: client.get("/v1/charges", params=query).status_code == 409)
        again = client.post("/v1/charges", json=body, headers=headers)
        assert (again.status_code, again.json()["error"]["code"]) == (409, "in_progress")
        assert slow.result().status_code == 200


def test_a_charge_is_read_by_id_with_what_was_refunded(client: httpx.Client) -> None:
    before = client.get("/v1/balance").json()["balance"].get("CHF", {"net": 0})["net"]
    charge = post(client, currency="chf").json()
    refund = {"charge": charge["id"], "amount": 200}
    assert post(client, "/v1/refunds", content=json.dumps(refund).encode()).status_code == 200
    found = client.get(f"/v1/charges/{charge['id']}").json()
    assert (found["currency"], found["amount"], found["amount_refunded"]) == ("CHF", 500, 200)
    assert client.get("/v1/balance").json()["balance"]["CHF"]["net"] == before + 300


BAD_BODIES = [
    b"{",
    b"null",
    b"[]",
    b"1",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    json.dumps(CHARGE).encode("utf-16"),
    b'{"amount": NaN, "currency": "EUR"}',
    b'{"amount": 1e400, "currency": "EUR"}',
    b'{"amount": ' + b"9" * 5000 + b', "currency": "EUR"}',
    b"[" * 60_000,
    b'{"a":' * 10_000,
    b'{"amount": 1, "amount": 2, "currency": "EUR"}',
    b'{"amount": 1, "currency": "EUR"} x',
    *(
        json.dumps({**CHARGE, "amount": amount}).encode()
        for amount in (0, -1, True, 1.0, 1.5, "1", None, [1], {}, 2**63, 10**12 + 1)
    ),
    *(
        json.dumps({**CHARGE, name: value}).encode()
        for name in ("currency", "token", "order_id")
        for value in (1, None, [], {}, True, "a\x00b", "\ud800", "x" * 60_000)
    ),
    json.dumps({**CHARGE, "status": "paid"}).encode(),
]


@pytest.mark.parametrize("path", ["/v1/charges", "/v1/refunds"])
def test_a_bad_body_is_refused_in_plain_words(client: httpx.Client, path: str) -> None:
    for body in BAD_BODIES:
        answer = post(client, path, content=body)
        assert answer.status_code == 400, body[:60]
        assert set(answer.json()["error"]) == {"type", "code", "message"}


def test_bad_headers_and_urls_are_refused(client: httpx.Client, sandbox: SandboxProcess) -> None:
    def status(method: str, url: str, **options: Any) -> int:
        return client.request(method, url, **options).status_code

    key = {"Idempotency-Key": "k"}
    assert status("POST", "/v1/charges", json=CHARGE) == 400
    assert status("POST", "/v1/charges", content=b"{}", headers=key) == 415
    assert status("POST", "/v1/charges", json=CHARGE, headers=[("Idempotency-Key", "k")] * 2) == 400
    assert status("POST", "/v1/charges", json=CHARGE, headers={"Idempotency-Key": "k" * 256}) == 400
    assert status("GET", "/v1/charges?idempotency_key=%00") == 400
    assert status("GET", "/v1/charges") == 400
    assert status("GET", "/v1/charges/%00") == 404
    assert status("GET", "/v1/movements?after=x") == 400
    assert status("GET", "/v1/movements?limit=1e3") == 400
    assert status("GET", "/v1/movements?" + "a=1&" * 11) == 400
    assert status("GET", "/nowhere") == 404
    assert status("DELETE", "/v1/charges/x") == 405
    for authorization in ("", "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", "ü"):
        headers = {"Authorization": authorization.encode()}
        assert httpx.get(f"{sandbox.url}/v1/balance", headers=headers).status_code == 401
    assert httpx.get(f"{sandbox.url}/healthz").json() == {"status": "ok"}


def exchange(port: int, sent: bytes) -> bytes:
    """Send raw bytes, end the sending side, read to the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        received = b""
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(65536):
                received += data
        except ConnectionError:
            pass
    return received


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /v1/charges HTTP/1.1\r\nContent-Length: 65537\r\n\r\n" + b"x" * 65537, 413),
        (b"POST /v1/charges HTTP/1.1\r\nContent-Length: 999999999999999999999\r\n\r\n", 400),
        (b"POST /v1/charges HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /v1/charges HTTP/1.1\r\nContent-Length: 5\r\n\r\nab", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 411),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
        (b"nonsense\r\n\r\n", 400),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else None,
)
def test_malformed_http_is_refused(sandbox: SandboxProcess, sent: bytes, status: int) -> None:
    received = exchange(sandbox.port, sent)
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert b'{"error": ' in received


def test_random_bytes_do_no_harm(sandbox: SandboxProcess, client: httpx.Client) -> None:
    chance = random.Random(7)
    for _ in range(100):
        received = exchange(sandbox.port, chance.randbytes(chance.randrange(1, 3000)))
        assert received == b"" or received.startswith(b"HTTP/1.1 4")
    assert client.get("/healthz").status_code == 200


def test_hanging_requests_block_neither_others_nor_the_stop(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path / "ledger.sqlite3", KEY, hang_seconds=60) as process:
        with (
            httpx.Client(
                base_url=process.url, headers={"Authorization": f"Bearer {KEY}"}
            ) as client,
            ThreadPoolExecutor(40) as pool,
        ):
            hung = [pool.submit(post, client, token="tok_timeout_charged") for _ in range(40)]
            wait_for(lambda: len(client.get("/v1/movements").json()["data"]) == 40)
            assert post(client).status_code == 200
            started = time.monotonic()
            assert process.stop() == (0, "")
            assert time.monotonic() - started < 5
            assert all(isinstance(future.exception(), httpx.TransportError) for future in hung)


def test_too_many_connections_are_turned_away_until_some_close(sandbox: SandboxProcess) -> None:
    held = [socket.create_connection(("127.0.0.1", sandbox.port)) for _ in range(300)]
    assert exchange(sandbox.port, b"GET /healthz HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 503 ")
    for connection in held:
        connection.close()
    wait_for(lambda: b" 200 " in exchange(sandbox.port, b"GET /healthz HTTP/1.1\r\n\r\n"))


def run(*options: str, key: str | None = KEY) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "GATEWAY_API_KEY"}
    return subprocess.run(
        [sys.executable, "-m", "payments.gateways.sandbox", *options],
        cwd=ROOT,
        env=environment | ({"GATEWAY_API_KEY": key} if key is not None else {}),
        capture_output=True,
        text=True,
        timeout=20,
    )


def test_a_wrong_call_says_what_is_wrong_and_ends_with_2(tmp_path: Path) -> None:
    ledger = ("--ledger", str(tmp_path / "ledger.sqlite3"))
    empty = tmp_path / "empty"
    empty.touch()
    calls = [
        run(),
        run(*ledger, "--unknown"),
        run(*ledger, "--port", "-1"),
        run(*ledger, "--port", "70000"),
        run(*ledger, "--hang-seconds", "nan"),
        run(*ledger, key=None),
        run(*ledger, key=""),
        run(*ledger, key="two words"),
        run(*ledger, "--api-key-file", str(tmp_path / "missing")),
        run(*ledger, "--api-key-file", str(empty)),
    ]
    for call in calls:
        assert call.returncode == 2
        assert call.stderr
        assert "Traceback" not in call.stderr
        assert "two words" not in call.stderr, "a secret is never printed"


def test_what_keeps_it_from_starting_is_one_line_and_ends_with_1(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    text, foreign = tmp_path / "text", tmp_path / "foreign.sqlite3"
    text.write_text("not a database, and longer than the header of one" * 50)
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE other (id INTEGER)")
    connection.close()
    good = str(tmp_path / "ledger.sqlite3")
    for call in (
        run("--ledger", good, "--port", str(sandbox.port)),
        run("--ledger", str(text), "--port", "0"),
        run("--ledger", str(foreign), "--port", "0"),
        run("--ledger", str(tmp_path / "no" / "folder"), "--port", "0"),
    ):
        assert call.returncode == 1
        assert call.stderr.count("\n") == 1, call.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order_and_the_key_may_come_from_a_file(
    tmp_path: Path, number: signal.Signals
) -> None:
    ledger, key_file = tmp_path / "ledger.sqlite3", tmp_path / "key"
    key_file.write_text(f"{KEY}\n")
    options = ["--ledger", str(ledger), "--port", "0", "--api-key-file", str(key_file)]
    with subprocess.Popen(
        [sys.executable, "-m", "payments.gateways.sandbox", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        with HttpGateway(url, KEY) as gateway:
            assert gateway.list_movements() == ()
        process.send_signal(number)
        assert process.wait(10) == 0
    assert ledger.stat().st_mode & 0o077 == 0
