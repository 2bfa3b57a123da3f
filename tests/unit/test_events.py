"""An event's JSON, parsed when it is asked for."""

from dataclasses import replace

import pytest

from eventstore.client.events import Event
from eventstore.client.memory import InMemoryEventStore
from tests.contract.new_events import new_event


def event(data: str) -> Event:
    store = InMemoryEventStore()
    store.append([new_event("a")])
    return replace(store.read_aggregate("a")[0], data=data, metadata=data)


@pytest.mark.parametrize("text", ['{"a":[1,{"b":"é"}]}', ' \n{"a":[1,{"b":"\\u00e9"}]}\t'])
def test_data_and_metadata_are_parsed_whatever_stands_around_them(text: str) -> None:
    assert event(text).payload == event(text).context == {"a": [1, {"b": "é"}]}


def test_no_text_at_all_is_an_empty_object() -> None:
    assert event("").payload == event("").context == {}


@pytest.mark.parametrize(
    "text", ["[]", "1", "null", "{", '{"a":1}{', '{"a":1} 2', "{a}", "\ufeff{}"]
)
def test_what_is_no_object_is_an_error_each_time_it_is_asked_for(text: str) -> None:
    wrong = event(text)
    for _ in range(2):
        with pytest.raises(ValueError):
            _ = wrong.payload
        with pytest.raises(ValueError):
            _ = wrong.context


def test_it_is_parsed_once_and_no_part_of_what_the_event_equals() -> None:
    one = event('{"a":1}')
    assert one.payload is one.payload
    assert replace(one) == one
    assert replace(one, data='{"a":2}').payload == {"a": 2}
