"""Rebuilds while workers apply and orders come in, and while somebody spoils rows: at the end the
rows are the fold of the log (I6).
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import groupby
from operator import attrgetter
from random import Random

import pytest

from eventstore.client import EventStoreError, TransientError
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.outages import run_through_conflicts
from orders_site.transactions import committed
from queries import bulk, portions, strays
from queries.models import OrderItemRow, OrderRow
from queries.projector import OrderProjector
from queries.rebuilding import Rebuild
from queries.rows import RowsMoved
from tests.chaos.plan import Plan
from tests.expected_orders import append_history
from tests.integration.test_queries_projector import all_events, assert_query_model_is
from tests.integration.test_queries_rebuilding import emptied, silently
from tests.together import together

pytest_plugins = ["tests.chaos.telling"]
pytestmark = [
    pytest.mark.django_db(databases=["queries"], transaction=True),
    pytest.mark.timeout(3600),
]

ORDERS = 60
LIFE = ("order-created", "order-payment-debited", "order-approved", "order-shipped")


class Fray:
    """What goes on at the same time, until all events are there."""

    def __init__(self, dice: Random) -> None:
        self.store = InMemoryEventStore()
        self.happened: Counter[str] = Counter()
        self.backwards: list[tuple[str, int, int]] = []
        self._dice = dice
        self._over = threading.Event()

    def write(self) -> None:
        """The orders' lives, their events between each other's."""
        lives = {number: list(LIFE) for number in range(ORDERS)}
        turns = [number for number in lives for _ in LIFE]
        self._dice.shuffle(turns)
        try:
            for number in turns:
                append_history(self.store, order_name(number), [lives[number].pop(0)])
                self._over.wait(0.004)
        finally:
            self._over.set()

    def apply(self) -> None:
        """A worker: notices of some orders, from where their rows are."""
        dice, projector = Random(self._dice.random()), OrderProjector(self.store)
        while not self._over.is_set():
            count = dice.randint(1, 12)
            some = sorted({order_name(dice.randrange(ORDERS)) for _ in range(count)})
            versions = run_through_conflicts(lambda some=some: projector.versions(some))
            news = self.store.read_many([(id_, versions.get(id_, 0) + 1) for id_ in some])
            found = {id_: list(events) for id_, events in groupby(news, attrgetter("aggregate_id"))}
            try:
                committed("queries", lambda found=found: projector.apply(found))
                self.happened["applied"] += 1
            except RowsMoved:
                self.happened["another worker was faster"] += 1

    def rebuild(self) -> None:
        """A rebuild after the other; an outage ends one of them."""
        while not self._over.is_set():
            try:
                Rebuild(self.store, silently).run()
                self.happened["rebuilt"] += 1
            except (TransientError, EventStoreError):
                self.happened["a rebuild broken off"] += 1

    def spoil(self) -> None:
        """Rows are changed and deleted behind everybody's back."""
        dice = Random(self._dice.random())
        while not self._over.wait(0.02):
            order_id = order_name(dice.randrange(ORDERS))
            row = OrderRow.objects.filter(order_id=order_id)
            items = OrderItemRow.objects.filter(order_id=order_id)
            ways: list[Callable[[], object]] = [
                lambda row=row: row.update(status="shipped"),
                lambda row=row: row.update(amount_minor=1),
                lambda row=row: row.update(version=99),
                lambda items=items: items.update(quantity=99),
                lambda row=row: row._raw_delete("queries"),
            ]
            dice.choice(ways)()
            self.happened["spoilt"] += 1

    def watch(self) -> None:
        """No row goes back to an earlier version."""
        seen: dict[str, int] = {}
        while not self._over.wait(0.02):
            for order_id, version in OrderRow.objects.values_list("order_id", "version"):
                if version < seen.get(order_id, 0):
                    self.backwards.append((order_id, seen[order_id], version))
                seen[order_id] = version


def order_name(number: int) -> str:
    return f"order-{number:03}"


@pytest.mark.parametrize("spoilt", [False, True], ids=["in order", "spoilt"])
def test_rebuilds_among_workers_end_at_the_fold_of_the_log(
    spoilt: bool, chaos: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strays, "LOOKED_UP_ROWS", 7)
    for _ in range(chaos.rounds(1)):
        monkeypatch.setattr(bulk, "COPY_ROWS", chaos.dice.choice([1, 3, 100]))
        monkeypatch.setattr(portions, "PORTION_EVENTS", chaos.dice.choice([3, 17, 50]))
        emptied()
        fray = Fray(Random(chaos.dice.random()))
        work = [fray.write, fray.apply, fray.apply, fray.rebuild, fray.rebuild]
        began = time.monotonic()
        together([*work, fray.spoil if spoilt else fray.watch], timeout=300)
        assert fray.backwards == []
        Rebuild(fray.store, silently).run()
        assert_query_model_is(all_events(fray.store))
        assert Rebuild(fray.store, silently).run() == 0
        assert fray.happened["rebuilt"]
        assert fray.happened["applied"]
        seconds = time.monotonic() - began
        chaos.tell(f"{fray.store.head().position} events in {seconds:.0f} s, {dict(fray.happened)}")
