"""Payments, restaurant and saga on one log in memory, with a store and a gateway that fail before
or after they did what they were asked: notices come in any order, late, and again.
"""

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

from django.db import connections

from eventstore.client import EventStoreError, RetryLater, TransientError, Unavailable
from eventstore.client.events import Event
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.outages import run_through_conflicts
from eventstore.client.subscribing.prefetched import PrefetchedEventStore
from orders_site.ordering import handlers as ordering
from payments import handlers as payments
from payments.gateways.memory import InMemoryGateway
from payments.gateways.port import GatewayUnavailable
from restaurant import handlers as restaurant
from tests import order_events
from tests.together import eventually

# What a gateway makes of an amount: the sandbox's cases, and three that go through.
AMOUNTS = ("12.50", "19.99", "1000.00", *(f"400.{n:02}" for n in (2, 3, *range(10, 16))))
RESTAURANTS = ("pizza-roma",) * 3 + ("sushi-kyoto", "burger-closed", "nowhere")
WORKERS = {"payments": 3, "restaurant": 2, "saga": 2}
REACTIONS: Mapping[str, Mapping[str, Any]] = {
    "payments": payments.REACTIONS,
    "restaurant": restaurant.REACTIONS,
    "saga": ordering.REACTIONS,
}
STORE_FAILS, GATEWAY_FAILS, COMES_AGAIN = 0.06, 0.08, 0.15
QUIET_LOOKS = 5


class Failing:
    """Passes every call on, and raises now and then before it or after it took effect."""

    def __init__(
        self, behind: Any, dice: Random, share: float, methods: set[str], error: type[Exception]
    ) -> None:
        self._behind, self._dice, self._share = behind, dice, share
        self._methods, self._error = methods, error

    def __getattr__(self, name: str) -> Any:
        passed_on = getattr(self._behind, name)
        if name not in self._methods:
            return passed_on

        def call(*args: Any, **options: Any) -> Any:
            throw = self._dice.random()
            if throw < self._share:
                raise self._error("before")
            answer = passed_on(*args, **options)
            if throw > 1 - self._share:
                raise self._error("after")
            return answer

        return call


class Clock:
    """Goes on by most of a second with each look, so that deadlines of seconds pass."""

    def __init__(self) -> None:
        self._now, self._lock = datetime.now(UTC), threading.Lock()

    def __call__(self) -> datetime:
        with self._lock:
            self._now += timedelta(seconds=0.7)
            return self._now


class Inbox:
    """The notices of one subscription: what is due is taken in any order."""

    def __init__(self, log: InMemoryEventStore, types: Mapping[str, Any]) -> None:
        self._log, self._types = log, types
        self._lock = threading.Lock()
        self._seen = self._busy = 0
        self._waiting: list[tuple[float, Event]] = []

    def take(self, dice: Random) -> Event | None:
        """One of the notices that are due."""
        with self._lock:
            for event in self._log.read_stream(self._seen + 1):
                self._seen = event.position
                if event.event_type in self._types:
                    self._waiting.append((0.0, event))
            due = [
                place for place, (when, _) in enumerate(self._waiting) if when < time.monotonic()
            ]
            if not due:
                return None
            self._busy += 1
            return self._waiting.pop(dice.choice(due))[1]

    def settle(self, event: Event, again_in: float | None) -> None:
        """It is done, or comes again after so many seconds."""
        with self._lock:
            self._busy -= 1
            if again_in is not None:
                self._waiting.append((time.monotonic() + again_in, event))

    @property
    def quiet(self) -> bool:
        with self._lock:
            return not self._waiting and not self._busy and self._seen == self._log.head().position


@dataclass
class Simulation:
    """What runs on one log; `errors` are what no outage explains."""

    dice: Random
    log: InMemoryEventStore = field(default_factory=InMemoryEventStore)
    gateway: InMemoryGateway = field(default_factory=InMemoryGateway)
    happened: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._clock = Clock()
        self._stopping = threading.Event()
        self._inboxes = {name: Inbox(self.log, types) for name, types in REACTIONS.items()}

    @contextmanager
    def working(self) -> Iterator[None]:
        """All workers at work, for as long as the context is open."""
        threads = [
            threading.Thread(target=self._work, args=[name, Random(self.dice.random())])
            for name, count in WORKERS.items()
            for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join(30)

    def order(self, count: int) -> None:
        """Customers place so many orders, and cancel half of them a moment later."""
        cancelling = []
        for _ in range(count):
            placed = order_events.place(
                self.log,
                amount=self.dice.choice(AMOUNTS),
                restaurant_id=self.dice.choice(RESTAURANTS),
            )
            if self.dice.random() < 0.5:
                moment = self.dice.uniform(0.0, 0.15)
                cancelling.append(threading.Timer(moment, self._cancel, args=[placed.aggregate_id]))
                cancelling[-1].start()
        for timer in cancelling:
            timer.join()

    def settled(self) -> None:
        """Wait until nothing is left to do, several looks long."""
        looks = [0]

        def quiet() -> bool:
            looks[0] = looks[0] + 1 if all(i.quiet for i in self._inboxes.values()) else 0
            return looks[0] >= QUIET_LOOKS

        eventually(quiet, timeout=60)

    def _cancel(self, order_id: str) -> None:
        try:
            ordering.cancel_order(
                order_id, "no", store=self.log, caller=ordering.Caller("staff:tests")
            )
        except Exception as refusal:
            self.happened[f"cancelling: {type(refusal).__name__}"] += 1
        finally:
            connections.close_all()

    def _work(self, name: str, dice: Random) -> None:
        while not self._stopping.is_set():
            event = self._inboxes[name].take(dice)
            if event is None:
                self._stopping.wait(0.003)
            else:
                self._inboxes[name].settle(event, self._react(name, event, dice))
        connections.close_all()

    def _react(self, name: str, event: Event, dice: Random) -> float | None:
        """React to the notice; in how many seconds it comes again, if it does."""
        try:
            run_through_conflicts(self._reaction(name, event, dice))
        except RetryLater:
            return 0.02
        except (TransientError, EventStoreError) as error:
            self.happened[type(error).__name__] += 1
            return 0.005
        except Exception:
            self.errors.append(f"{name}, {event.event_type}: {traceback.format_exc()}")
            return None
        return 0.01 if dice.random() < COMES_AGAIN else None

    def _reaction(self, name: str, event: Event, dice: Random) -> Callable[[], None]:
        history, read_at = self.log.read_aggregate(event.aggregate_id), time.monotonic()
        if dice.random() < 0.3:
            # What was read ahead gets old.
            self._stopping.wait(dice.uniform(0.0, 0.02))
        prefetched = PrefetchedEventStore(self.log, history, read_at)
        methods = {"append", "read_aggregate"}
        options: dict[str, Any] = {
            "store": Failing(prefetched, dice, STORE_FAILS, methods, Unavailable)
        }
        if name == "payments":
            calls = {"charge", "refund", "find_charge", "find_refund"}
            options["gateway"] = Failing(
                self.gateway, dice, GATEWAY_FAILS, calls, GatewayUnavailable
            )
            options["clock"] = self._clock
        return partial(REACTIONS[name][event.event_type], event, **options)
