"""Events of older schemas are read as if they were of the newest."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from eventstore.client.errors import UnknownSchemaVersion
from eventstore.client.events import Event, to_json
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.upcasting import upcasted
from tests.contract.new_events import new_event

UPCASTERS = {
    "order-created": (
        lambda data: {**data, "currency": "EUR"},
        lambda data: {**data, "total": data["amount"]},
    )
}


def event(schema_version: Any, event_type: str = "order-created") -> Event:
    store = InMemoryEventStore()
    new = new_event("a", event_type=event_type, data='{"amount":"1.00"}')
    store.append([new])
    metadata = {} if schema_version is None else {"schema_version": schema_version}
    return replace(store.read_aggregate("a")[0], metadata=to_json(metadata))


@pytest.mark.parametrize("version", [1, None])
def test_an_event_of_the_first_version_takes_every_step(version: Any) -> None:
    read = upcasted(event(version), UPCASTERS)
    assert read.payload == {"amount": "1.00", "currency": "EUR", "total": "1.00"}


def test_an_event_of_the_version_before_the_newest_takes_the_last_step_only() -> None:
    assert upcasted(event(2), UPCASTERS).payload == {"amount": "1.00", "total": "1.00"}


def test_an_event_of_the_newest_version_is_left_as_it_is() -> None:
    newest = event(3)
    assert upcasted(newest, UPCASTERS) is newest


@pytest.mark.parametrize("version", [4, 0, -1, "1", True, 1.0, [], None])
def test_a_version_that_nobody_knows_is_told_so(version: Any) -> None:
    unknown = replace(event(1), metadata=to_json({"schema_version": version}))
    with pytest.raises(UnknownSchemaVersion):
        upcasted(unknown, UPCASTERS)


def test_a_type_without_steps_has_one_version() -> None:
    one = event(1, "order-cancelled")
    assert upcasted(one, UPCASTERS) is one
    with pytest.raises(UnknownSchemaVersion):
        upcasted(event(2, "order-cancelled"), UPCASTERS)


def test_a_version_that_is_a_text_reads_as_one() -> None:
    with pytest.raises(UnknownSchemaVersion, match="has schema version '1', this program reads"):
        upcasted(event("1"), {})


def test_a_step_may_change_what_it_is_given_and_the_event_is_read_the_same_again() -> None:
    def stamped(data: dict[str, Any]) -> dict[str, Any]:
        data["seen"].append("step")
        return data

    one = replace(event(1), data='{"seen":[]}')
    for _ in range(2):
        assert upcasted(one, {"order-created": (stamped,)}).payload == {"seen": ["step"]}
    assert one.payload == {"seen": []}


TEXTS = st.sampled_from(["schema_version", "1", '"schema_version":1,', "{", "}", "\\", "a", "é"])
VALUES = st.recursive(
    st.sampled_from([1, 2, 10, 1.0, True, None]) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given_any(st.dictionaries(TEXTS, VALUES, max_size=4), st.booleans())
def test_a_version_is_the_same_whether_it_is_seen_or_parsed(
    metadata: dict[str, Any], compact: bool
) -> None:
    text = to_json(metadata) if compact else json.dumps(metadata)
    version = metadata.get("schema_version", 1)
    known = type(version) is int and version == 1
    given = replace(event(1, "order-cancelled"), metadata=text)
    if known:
        assert upcasted(given, UPCASTERS) is given
    else:
        with pytest.raises(UnknownSchemaVersion):
            upcasted(given, UPCASTERS)


def test_what_is_seen_at_once_is_not_parsed() -> None:
    one = event(1, "order-cancelled")
    upcasted(one, UPCASTERS)
    assert "context" not in vars(one)


@pytest.mark.parametrize(
    "metadata",
    [
        '{"schema_version":1,"schema_version":2}',
        '{"schema_version":2,"a":{"schema_version":1}}',
        '{"schema\\u005fversion":2,"a":"\\"schema_version\\":1,"}',
        '{"schema_version":12}',
        '{"schema_version" :2,"a":"schema_version"}',
    ],
)
def test_a_version_that_only_looks_like_the_first_is_parsed(metadata: str) -> None:
    given = replace(event(1, "order-cancelled"), metadata=metadata)
    with pytest.raises(UnknownSchemaVersion):
        upcasted(given, UPCASTERS)
