"""Clients of the API who never give up halfway, and remember what they said and were told."""

import threading
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from tests.e2e.system import System

# The sandbox gateway goes by the amount: the troubled ones are lost, refused, late, or 500s.
ORDINARY = ("12.50", "19.99", "0.05", "1000.00")
TROUBLED = tuple(f"400.{cents:02}" for cents in (2, 3, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20))
# Never charged: known for sure only when no request can be on its way any more, after minutes.
SLOW_TO_SETTLE = ("400.16",)
RESTAURANTS = ("pizza-roma",) * 5 + ("sushi-kyoto", "burger-closed", "nowhere")
AGAIN = (429, 502, 503)
Answer = tuple[int, dict[str, Any]]


@dataclass
class Request:
    """One order as its customer knows it; `answers` are those to its POST, in order."""

    key: str
    body: dict[str, Any]
    answers: list[Answer] = field(default_factory=list)
    cancellations: list[Answer] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)

    @property
    def price(self) -> str:
        return str(self.body["order_items"][0]["unit_price"])

    @property
    def order_id(self) -> str:
        """Empty while nobody acknowledged it."""
        return str(self.answers[0][1]["order_id"]) if self.answers else ""


class Customer:
    """Places orders in a thread of its own until it is told to stop.

    Args:
        prices: of what it orders.
        cancels: of what it may cancel. An order that is cancelled while its charge is in doubt
            is settled only when no request can be on its way any more, after two minutes.
    """

    def __init__(
        self,
        system: System,
        dice: Random,
        *,
        prices: Sequence[str],
        cancels: Collection[str],
    ) -> None:
        self.requests: list[Request] = []
        self.complaints: list[str] = []
        self.tries = 0
        self._dice, self._prices, self._cancels = dice, prices, cancels
        self._headers = {"Authorization": f"Bearer {system.token}"}
        self._site = f"{system.site}/api"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Finish the order in hand; all that was wrong is in `complaints` by then."""
        self._stopping.set()
        self._thread.join(120)
        assert not self._thread.is_alive(), "a customer is still without an answer"

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._order_something()
                self._stopping.wait(self._dice.uniform(0.0, 0.15))
        except Exception as error:
            self.complaints.append(repr(error))

    def _order_something(self) -> None:
        request = Request(str(uuid.uuid4()), self._body())
        self.requests.append(request)
        if self._dice.random() < 0.05:
            # Goes away and never asks again.
            self._try("/orders", request.body, request.key, timeout=0.01)
            return
        if self._dice.random() < 0.1:
            self._place_twice_at_once(request)
        self._place(request)
        if self._dice.random() < 0.2:
            self._place(request)
        if self._dice.random() < 0.1:
            other = request.body | {"customer_id": "somebody else"}
            request.refusals.append(self._insist("/orders", other, request.key)[0])
        if self._dice.random() < 0.25 and request.price in self._cancels:
            self._cancel(request)

    def _body(self) -> dict[str, Any]:
        price = self._dice.choice(self._prices)
        quantity = 1 if price.startswith("400") else self._dice.choice((1, 1, 3))
        item = {"code": "m", "name": "Šiška", "unit_price": price, "quantity": quantity}
        return {
            "customer_id": f"customer-{self._dice.randrange(4)}",
            "restaurant_id": self._dice.choice(RESTAURANTS),
            "order_items": [item],
        }

    def _place(self, request: Request) -> None:
        answer = self._insist("/orders", request.body, request.key)
        if answer[0] != 201:
            self.complaints.append(f"placing was answered {answer}")
        request.answers.append(answer)

    def _place_twice_at_once(self, request: Request) -> None:
        twin = threading.Thread(target=self._place, args=[request])
        twin.start()
        self._place(request)
        twin.join()

    def _cancel(self, request: Request) -> None:
        self._stopping.wait(self._dice.choice((0.0, 0.2, 1.0)))
        for _ in range(self._dice.choice((1, 2))):
            answer = self._insist(
                f"/orders/{request.order_id}/cancel", {"reason": "changed my mind"}
            )
            if answer[0] not in (200, 409):
                self.complaints.append(f"cancelling was answered {answer}")
            request.cancellations.append(answer)

    def _insist(self, path: str, body: Mapping[str, Any], key: str = "") -> Answer:
        """The first answer that is one, however often it takes."""
        while True:
            hurried = self._dice.random() < 0.1
            answer = self._try(path, body, key, timeout=0.15 if hurried else 8.0)
            if answer is not None and answer[0] not in AGAIN:
                return answer
            self._stopping.wait(self._dice.uniform(0.02, 0.2))

    def _try(
        self, path: str, body: Mapping[str, Any], key: str, *, timeout: float
    ) -> Answer | None:
        self.tries += 1
        headers = self._headers | ({"Idempotency-Key": key} if key else {})
        try:
            reply = httpx.post(self._site + path, json=body, headers=headers, timeout=timeout)
            return reply.status_code, reply.json()
        except httpx.HTTPError:
            return None
        except ValueError:
            self.complaints.append(f"{path}: {reply.status_code} without JSON")
            return None
