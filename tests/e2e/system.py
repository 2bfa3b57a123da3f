"""The whole system as its users meet it: started by `manage.py up`, spoken to over its ports."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from eventstore.client.events import Event
from eventstore.client.remote import RemoteEventStore
from orders_site.embedded.credentials import load
from orders_site.embedded.ports import free_port
from tests.database_server import given

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 120
STOP_SECONDS = 40


def eventually(probe: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """The probe's first true value; AssertionError naming `what` when the time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if value := probe():
                return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:g} s: {what}")


def free_ports(number: int) -> int:
    """The first of so many ports in a row that nobody listens on."""
    while True:
        first = free_port()
        with contextlib.ExitStack() as taken, contextlib.suppress(OSError, OverflowError):
            for port in range(first, first + number):
                taken.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


class System:
    """One `manage.py up` on a data folder and ports of its own."""

    def __init__(self, data_dir: Path | None = None, **settings: str) -> None:
        self.data_dir = data_dir or self.new_data_dir()
        self.ports = {n: free_port() for n in ("WEB", "EVENTSTORE", "NATS", "VALKEY", "GATEWAY")}
        self.site = f"http://127.0.0.1:{self.ports['WEB']}"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.data_dir),
            "ORDERS_DATA_DIR": str(self.data_dir),
            **{f"ORDERS_{name}_PORT": str(port) for name, port in self.ports.items()},
            **(server.own_databases() if (server := given()) else {}),
            **{f"ORDERS_{name}": value for name, value in settings.items()},
        }
        self.output: list[str] = []
        self._up: subprocess.Popen[str] | None = None

    @staticmethod
    def new_data_dir() -> Path:
        """A folder for a system's data, empty."""
        return Path(tempfile.mkdtemp(prefix="orders-e2e-"))

    # -- its life ------------------------------------------------------------------------------

    def start(self) -> float:
        """Start it; the seconds until it said that it is ready."""
        began = time.monotonic()
        self.begin()
        self.wait_for_line("Ready in")
        return time.monotonic() - began

    def begin(self) -> "subprocess.Popen[str]":
        """Start it and don't wait; its process."""
        self.output.clear()
        self._up = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "up"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=[self._up], daemon=True).start()
        return self._up

    def wait_for_line(self, start: str) -> None:
        """Return when it has printed a line that starts so; AssertionError if it ends first."""
        assert self._up is not None
        deadline = time.monotonic() + START_SECONDS
        while not any(line.startswith(start) for line in list(self.output)):
            shown = "\n".join(self.output[-80:])
            assert self._up.poll() is None, f"up ended:\n{shown}"
            assert time.monotonic() < deadline, f"up is not that far:\n{shown}"
            time.sleep(0.05)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self._up is not None
        self._up.send_signal(signal.SIGTERM)
        return self._up.wait(STOP_SECONDS)

    def kill_supervisor(self) -> None:
        """kill -9 of `manage.py up` alone; what it started lives on."""
        assert self._up is not None
        self._up.kill()
        self._up.wait()

    def processes(self) -> list[psutil.Process]:
        """Every process that has this system's data folder in its command line or as its cwd."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                place = " ".join(process.cmdline()) + " " + process.cwd()
                if str(self.data_dir) in place and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def pid(self, part: str) -> int:
        """The process id of a part, such as "web" or "postgres"; 0 between two lives of it."""
        if part == "postgres" and given():
            pytest.skip("the database server is not the system's own")
        try:
            return int(json.loads((self.data_dir / "run" / f"{part}.pid").read_text())["pid"])
        except FileNotFoundError:
            return 0

    def kill(self, part: str) -> None:
        """kill -9 of one part; the supervisor starts it again."""
        os.kill(self.pid(part), signal.SIGKILL)

    def manage(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a management command against it."""
        return subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def _read(self, up: "subprocess.Popen[str]") -> None:
        assert up.stdout is not None
        for line in up.stdout:
            self.output.append(line.rstrip("\n"))

    # -- its API -------------------------------------------------------------------------------

    @property
    def token(self) -> str:
        return (self.data_dir / "api-token").read_text().strip()

    @property
    def admin_password(self) -> str:
        return (self.data_dir / "admin-password").read_text().strip()

    def api(self, token: str | None = None) -> httpx.Client:
        """An HTTP client of the API."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.Client(base_url=f"{self.site}/api", headers=headers, timeout=30)

    def place(
        self,
        price: str = "12.50",
        restaurant: str = "pizza-roma",
        key: str | None = None,
        api: httpx.Client | None = None,
    ) -> str:
        """Place an order, as a client that tries again under its key until it has an answer."""
        body = order_body(price, restaurant)
        key = key or str(uuid.uuid4())

        def attempt() -> str | None:
            with contextlib.nullcontext(api) if api else self.api() as client:
                reply = client.post("/orders", json=body, headers={"Idempotency-Key": key})
            if reply.status_code in (502, 503):
                return None
            assert reply.status_code == 201, reply.text
            return str(reply.json()["order_id"])

        return str(eventually(attempt, "an order is accepted"))

    def order(self, order_id: str) -> dict[str, Any]:
        """The order as GET answers it; {} while it can't be had."""
        with self.api() as client:
            reply = client.get(f"/orders/{order_id}")
        return dict(reply.json()) if reply.status_code == 200 else {}

    def event_types(self, order_id: str) -> list[str]:
        """The types of the order's events by version."""
        with self.api() as client:
            reply = client.get(f"/orders/{order_id}/events")
        return [event["type"] for event in reply.json()["results"]]

    def reaches(
        self, order_id: str, status: str, payment: str, seconds: float = 60.0
    ) -> dict[str, Any]:
        """The order, once it has the status and payment status."""
        seen: dict[str, Any] = {}

        def there() -> dict[str, Any] | None:
            seen.update(self.order(order_id))
            met = (seen.get("status"), seen.get("payment_status")) == (status, payment)
            return seen if met else None

        try:
            return dict(eventually(there, f"{order_id} is {status} and {payment}", seconds))
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {seen}") from None

    # -- what it keeps -------------------------------------------------------------------------

    def log(self) -> list[Event]:
        """The whole event log."""
        store = RemoteEventStore(f"127.0.0.1:{self.ports['EVENTSTORE']}")
        try:
            return list(store.read_stream())
        finally:
            store.close()

    def movements(self) -> list[dict[str, Any]]:
        """Every capture and refund in the gateway's own ledger."""
        return list(self._movements())

    def _movements(self) -> Iterator[dict[str, Any]]:
        credentials = load(self.data_dir)
        assert credentials is not None
        headers = {"Authorization": f"Bearer {credentials.gateway_api_key}"}
        site = f"http://127.0.0.1:{self.ports['GATEWAY']}"
        after: Any = None
        with httpx.Client(base_url=site, headers=headers, timeout=10) as gateway:
            while True:
                query = {"limit": 100} | ({"after": after} if after is not None else {})
                reply = gateway.get("/v1/movements", params=query)
                page = reply.json()["data"]
                yield from page
                if len(page) < 100:
                    return
                after = page[-1]["cursor"]


def order_body(price: str = "12.50", restaurant: str = "pizza-roma") -> dict[str, Any]:
    """A valid order of one item."""
    return {
        "customer_id": "ada",
        "restaurant_id": restaurant,
        "order_items": [{"code": "m", "name": "Margherita", "unit_price": price, "quantity": 1}],
    }
