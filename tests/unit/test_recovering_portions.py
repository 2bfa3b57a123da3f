"""Rows are put right after a recovery in portions whose histories do well in memory."""

from types import SimpleNamespace

import pytest

from eventstore.client.memory import InMemoryEventStore
from eventstore.client.subscribing import recovering
from eventstore.client.subscribing.recovering import _portions
from tests.contract.new_events import new_events

DATA = '"' + "x" * 98 + '"'


@pytest.mark.parametrize("most", [1, 600, 1_100, 10**9])
def test_each_row_is_in_one_portion_with_its_history(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(recovering, "PORTION_CHARACTERS", most)
    store = InMemoryEventStore()
    lengths = {"a": 1, "b": 9, "none": 0, "c": 3, "d": 5, "nor this": 0}
    for id_, length in lengths.items():
        if length:
            store.append(new_events(length, id_, data=DATA))
    rows = [SimpleNamespace(order_id=id_) for id_ in [*lengths, "b"]]

    portions = list(_portions(store, rows, "order_id"))
    told = [row for portion, _ in portions for row in portion]
    assert sorted(map(id, told)) == sorted(map(id, rows))
    for portion, histories in portions:
        for row in portion:
            assert len(histories[row.order_id]) == lengths[row.order_id]
        held = [sum(len(event.data) for event in history) for history in histories.values()]
        assert sum(held) - max(held, default=0) <= most


def test_rows_without_events_are_told_of_too() -> None:
    rows = [SimpleNamespace(order_id=id_) for id_ in "abc"]
    ((portion, histories),) = _portions(InMemoryEventStore(), rows, "order_id")
    assert portion == rows
    assert [histories[row.order_id] for row in rows] == [[], [], []]
