"""Events to append in tests of the store, good and bad."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from eventstore.client import NewEvent


def new_event(aggregate_id: str = "order-1", **changes: Any) -> NewEvent:
    event = NewEvent(
        event_id=uuid4(),
        event_type="order-created",
        aggregate_id=aggregate_id,
        aggregate_type="order",
        data='{"amount": "25.00"}',
        metadata='{"actor": "tests"}',
    )
    return replace(event, **changes)


def new_events(count: int, aggregate_id: str = "order-1", **changes: Any) -> list[NewEvent]:
    return [new_event(aggregate_id, **changes) for _ in range(count)]


# What no log takes: the fields of an event that spoil it.
INVALID: dict[str, dict[str, Any]] = {
    "nil id": {"event_id": UUID(int=0)},
    "no type": {"event_type": ""},
    "type with a space": {"event_type": "order created"},
    "type with a wildcard": {"event_type": "order.*"},
    "type with a full wildcard": {"event_type": ">"},
    "type with an empty word": {"event_type": "order..created"},
    "type with a line break": {"event_type": "order-created\n"},
    "type in other letters": {"event_type": "órder"},
    "type too long": {"event_type": "x" * 129},
    "no aggregate type": {"aggregate_type": ""},
    "aggregate type with a space": {"aggregate_type": "an order"},
    "no aggregate id": {"aggregate_id": ""},
    "aggregate id too long": {"aggregate_id": "x" * 256},
    "aggregate id of 4 kB": {"aggregate_id": "x" * 4096},
    "aggregate id with NUL": {"aggregate_id": "order\x00"},
    "aggregate id with CRLF": {"aggregate_id": "order\r\n"},
    "aggregate id with half a surrogate pair": {"aggregate_id": "order\ud800"},
    "aggregate id of the log's own": {"aggregate_id": "log:ORDERS"},
    "stream with a dot": {"stream": "ORDERS.x"},
    "stream too long": {"stream": "S" * 65},
    "data that is no JSON": {"data": "{"},
    "data with NaN": {"data": '{"amount": NaN}'},
    "data with NUL": {"data": '{"a": "\x00"}'},
    "data with half a surrogate pair": {"data": '{"a": "\ud800"}'},
    "data nested beyond reason": {"data": "[" * 100_000 + "]" * 100_000},
    "data with 5,000 digits": {"data": "1" * 5_000},
    "data followed by garbage": {"data": "{} {}"},
    "data larger than 256 KiB": {"data": '"' + "x" * 256 * 1024 + '"'},
    "metadata that is no JSON": {"metadata": "nope"},
    "metadata that is no object": {"metadata": "[1]"},
    "metadata larger than 8 KiB": {"metadata": '{"a": "' + "x" * 8 * 1024 + '"}'},
}
