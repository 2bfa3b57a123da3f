"""Random histories of calls, each answer compared with a model that shares no code with a store."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from psycopg import IsolationLevel

from eventstore.client import (
    Append,
    Appended,
    Event,
    EventStore,
    EventStoreError,
    InvalidEvent,
    NewEvent,
    UnknownStream,
    VersionConflict,
)
from eventstore.client.memory import InMemoryEventStore
from eventstore.store import SqlEventStore
from tests.chaos.plan import SEED, Plan
from tests.contract import stores
from tests.contract.log_model import Model
from tests.contract.new_events import INVALID, new_event
from tests.e2e.invariants import check_chain

pytest_plugins = ["tests.chaos.telling"]
pytestmark = pytest.mark.django_db(databases=["eventstore"], transaction=True)

AGGREGATES = ("a", "b", "c")
TYPES = ("order-created", "order-approved")
DATA = ('{"n":1}', '{"n": 1}', '{"name":"Šárka"}')


class Machine(RuleBasedStateMachine):
    """Calls to one store; `make_store` gives it two streams of these names, empty."""

    def __init__(self, make_store: Callable[[Sequence[str]], EventStore], calls: list[int]) -> None:
        super().__init__()
        self.run = uuid4()
        self.orders, self.other = f"O-{self.run.hex[:20]}", f"P-{self.run.hex[:20]}"
        self.store = make_store((self.orders, self.other))
        self.model = Model()
        self.calls = calls
        self.count = 0

    @initialize()
    def a_stream_that_is_not_there(self) -> None:
        for call in (self.store.head, lambda stream: list(self.store.read_stream(stream=stream))):
            with pytest.raises(UnknownStream):
                call("NOT-THERE")

    # -- Appending

    @rule(data=st.data())
    def append(self, data: st.DataObject) -> None:
        self._append(self._new(data, self._stream(data)))

    @rule(data=st.data())
    def append_again(self, data: st.DataObject) -> None:
        stream = self._stream(data)
        if self.model.streams[stream]:
            self._append(self._repeated(data, stream))

    @rule(data=st.data())
    def append_a_batch(self, data: st.DataObject) -> None:
        # Of one stream: between streams a batch has no order.
        stream = self._stream(data)
        kinds = [self._new, self._invalid] + [self._repeated] * bool(self.model.streams[stream])
        wanted = data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=5))
        appends, expected = [], []
        for kind in wanted:
            # One after another: what a batch says may be repeated later in the same batch.
            append = kind(data, stream)
            appends.append(append)
            expected.append(self._expected(append))
        self.calls[0] += len(appends)
        outcomes = self.store.append_batch(appends)
        assert list(map(_comparable, outcomes)) == expected

    @rule(data=st.data())
    def append_what_no_log_takes(self, data: st.DataObject) -> None:
        self._append(self._invalid(data, self._stream(data)))

    def _append(self, append: Append) -> None:
        expected = self._expected(append)
        self.calls[0] += 1
        try:
            outcome: Any = self.store.append(append.events, append.expected_version)
        except EventStoreError as refusal:
            outcome = refusal
        if isinstance(outcome, VersionConflict):
            actual = len(self.model.aggregates.get(append.events[0].aggregate_id, []))
            assert outcome.actual_version == actual
        assert _comparable(outcome) == expected

    def _expected(self, append: Append) -> Any:
        if any("spoilt" in event.metadata for event in append.events):
            return InvalidEvent
        return self.model.append(append)

    def _stream(self, data: st.DataObject) -> str:
        return self.other if data.draw(st.integers(0, 5)) == 0 else self.orders

    def _new(self, data: st.DataObject, stream: str) -> Append:
        first = self._event(data, data.draw(st.sampled_from(AGGREGATES)), stream)
        of_one: dict[str, Any] = {
            "aggregate_id": first.aggregate_id,
            "aggregate_type": first.aggregate_type,
        }
        more = [self._event(data, "a", stream) for _ in range(data.draw(st.integers(0, 2)))]
        events = [first, *(replace(event, **of_one) for event in more)]
        return Append(events=events, expected_version=self._version(data, events[0]))

    def _event(self, data: st.DataObject, aggregate: str, stream: str) -> NewEvent:
        self.count += 1
        return new_event(
            f"{aggregate}-{self.run}",
            event_id=uuid5(self.run, str(self.count)),
            event_type=data.draw(st.sampled_from(TYPES)),
            aggregate_type="basket" if data.draw(st.integers(0, 9)) == 0 else "order",
            data=data.draw(st.sampled_from(DATA)),
            stream=stream,
        )

    def _version(self, data: st.DataObject, event: NewEvent) -> int | None:
        current = len(self.model.aggregates.get(event.aggregate_id, []))
        anything = [None, None, current, current, current, current + 1, max(current - 1, 0), 0]
        return data.draw(st.sampled_from(anything))

    def _repeated(self, data: st.DataObject, stream: str) -> Append:
        """Stored events again: as they were, changed, in part, or with one more."""
        first = data.draw(st.sampled_from(self.model.streams[stream]))
        history = self.model.aggregates[first.aggregate_id]
        start = history.index(first)
        events = history[start : start + data.draw(st.integers(1, 2))]
        change = data.draw(st.sampled_from(["none", "metadata", "data", "type", "id", "one more"]))
        match change:
            case "metadata":
                events = [replace(event, metadata='{"try":2}') for event in events]
            case "data":
                events = [*events[:-1], replace(events[-1], data='{"other":true}')]
            case "type":
                events = [*events[:-1], replace(events[-1], event_type="order-rejected")]
            case "id":
                moved = f"{data.draw(st.sampled_from(AGGREGATES))}-{self.run}"
                events = [replace(event, aggregate_id=moved) for event in events]
            case "one more":
                fresh = replace(events[0], event_id=uuid5(self.run, f"more-{self.count}"))
                self.count += 1
                events = data.draw(st.permutations([*events, fresh]))
        return Append(events=events, expected_version=self._version(data, events[0]))

    def _invalid(self, data: st.DataObject, stream: str) -> Append:
        spoilt = data.draw(st.sampled_from(sorted(INVALID)))
        event = replace(self._event(data, "a", stream), metadata='{"spoilt":1}')
        fields = INVALID[spoilt]
        if "metadata" in fields:
            fields = {"event_id": UUID(int=0)}
        return Append(events=[replace(event, **fields)])

    # -- Reading

    @rule(aggregate=st.sampled_from((*AGGREGATES, "never")), start=st.integers(-1, 6))
    def read_an_aggregate(self, aggregate: str, start: int) -> None:
        id_ = f"{aggregate}-{self.run}"
        expected = self.model.aggregates.get(id_, [])[max(start, 1) - 1 :]
        self._agree(self.store.read_aggregate(id_, start), expected)

    @rule(wanted=st.lists(st.tuples(st.sampled_from(AGGREGATES), st.integers(1, 4)), max_size=4))
    def read_many_aggregates(self, wanted: list[tuple[str, int]]) -> None:
        asked = [(f"{aggregate}-{self.run}", start) for aggregate, start in wanted]
        expected = [
            event
            for id_, start in asked
            for event in self.model.aggregates.get(id_, [])[start - 1 :]
        ]
        self._agree(list(self.store.read_many(asked)), expected)

    @rule(start=st.integers(-1, 12), limit=st.one_of(st.none(), st.integers(0, 5)))
    def read_a_stream(self, start: int, limit: int | None) -> None:
        for stream in (self.orders, self.other):
            expected = self.model.streams[stream][max(start, 1) - 1 :][:limit]
            found = list(self.store.read_stream(start, stream=stream, limit=limit))
            self._agree(found, expected)

    @rule(data=st.data())
    def read_an_event(self, data: st.DataObject) -> None:
        assert self.store.read_event(uuid5(self.run, "never")) is None
        if self.model.by_id:
            event = data.draw(st.sampled_from(list(self.model.by_id.values())))
            found = self.store.read_event(event.event_id)
            assert found is not None
            self._agree([found], [event])

    @invariant()
    def heads_and_hash_chains_are_right(self) -> None:
        for stream in (self.orders, self.other):
            head = self.store.head(stream)
            assert head.position == len(self.model.streams[stream])
            events = list(self.store.read_stream(stream=stream))
            assert [event.position for event in events] == list(range(1, head.position + 1))
            assert check_chain(events) == head.hash

    def _agree(self, found: Sequence[Event], expected: Sequence[NewEvent]) -> None:
        assert [_as_new(event) for event in found] == list(expected)
        places = [(event.version, event.position) for event in found]
        assert places == [self.model.where[event.event_id] for event in expected]


def _comparable(outcome: Appended | EventStoreError) -> Appended | type[EventStoreError]:
    return outcome if isinstance(outcome, Appended) else type(outcome)


def _as_new(event: Event) -> NewEvent:
    return NewEvent(**{name: getattr(event, name) for name in vars(new_event())})


def check(make_store: Callable[[Sequence[str]], EventStore], chaos: Plan, examples: int) -> None:
    """Run the machine; on a fixed seed, so that a failure is the same tomorrow."""
    calls = [0]
    many = chaos.rounds(examples, per_round=examples)
    machine: Any = seeded(SEED)(lambda: Machine(make_store, calls))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=many,
            stateful_step_count=20,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink] if chaos.is_long else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert calls[0] > many
    chaos.tell(f"{many} histories, {calls[0]} appends")


def with_streams(store: SqlEventStore, behind: EventStore, names: Sequence[str]) -> EventStore:
    for name in names:
        store.create_stream(name)
    return behind


def test_the_store_in_memory_answers_as_the_model_does(chaos: Plan) -> None:
    check(InMemoryEventStore, chaos, examples=30)


@pytest.mark.parametrize("level", [IsolationLevel.READ_COMMITTED, IsolationLevel.SERIALIZABLE])
def test_the_store_on_sql_answers_as_the_model_does(chaos: Plan, level: IsolationLevel) -> None:
    with stores.sql(level) as store:
        check(partial(with_streams, store, store), chaos, examples=15)


def test_the_store_over_grpc_answers_as_the_model_does(chaos: Plan) -> None:
    opened: AbstractContextManager[EventStore] = stores.remote()
    with opened as client:
        check(partial(with_streams, SqlEventStore(), client), chaos, examples=10)
