"""Events as messages and back: what a subscriber reads is what the log holds, or it is refused."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from eventstore.client import Event, metadata_for
from eventstore.client.memory import InMemoryEventStore
from eventstore.client.notice import BadNotice, Notice, headers_of, parse, source_of, subject_of
from tests.contract.new_events import new_event

LOG_ID = UUID("11111111-2222-3333-4444-555555555555")


def logged(aggregate_id: str = "order-1", **changes: str) -> Event:
    store = InMemoryEventStore()
    store.append([new_event(aggregate_id, **changes)])
    (event,) = store.read_stream()
    return event


def read(event: Event, **headers: str | None) -> Notice:
    """The notice of the event's message, some of whose headers were changed or taken away."""
    sent = {**headers_of(event, LOG_ID), **{k.replace("_", "-"): v for k, v in headers.items()}}
    left = {name: value for name, value in sent.items() if value is not None}
    subject = subject_of(event.stream, event.event_type)
    return parse(event.stream, subject, left, event.data.encode(), event.position)


@pytest.mark.parametrize(
    "aggregate_id",
    ["order-1", "Küche 7", 'a"b%41c', "注文/1?x=#", "  spaced  ", "\U0001f600", "a:b", "x" * 255],
)
def test_what_is_sent_is_what_is_read(aggregate_id: str) -> None:
    event = logged(aggregate_id)
    headers = headers_of(event, LOG_ID)
    assert all(value.isascii() and value.isprintable() and value for value in headers.values())
    assert all(" " not in value for value in headers.values())
    assert read(event) == Notice(
        event_id=event.event_id,
        event_type="order-created",
        aggregate_id=aggregate_id,
        aggregate_type="order",
        version=1,
        position=1,
    )


def test_header_names_are_read_whatever_their_case() -> None:
    event = logged()
    headers = {name.upper(): value for name, value in headers_of(event, LOG_ID).items()}
    notice = parse("ORDERS", "ORDERS.order-created", headers, b"{}", 1)
    assert notice.event_id == event.event_id


def test_the_context_goes_into_headers_of_its_own() -> None:
    cause = logged(metadata=metadata_for(actor="tests", traceparent="00-1-2-01"))
    event = logged(metadata=metadata_for(actor="tests", cause=cause))
    headers = headers_of(event, LOG_ID)
    assert headers["ce-correlationid"] == str(cause.event_id)
    assert headers["ce-causationid"] == str(cause.event_id)
    assert headers["traceparent"] == "00-1-2-01"


def test_strange_metadata_makes_no_strange_headers() -> None:
    event = logged(
        metadata='{"correlation_id": 7, "causation_id": ["x"], "traceparent": "a\\r\\nb: c"}'
    )
    headers = headers_of(event, LOG_ID)
    assert "ce-correlationid" not in headers
    assert "ce-causationid" not in headers
    assert headers["traceparent"] == "a%0D%0Ab:%20c"


@pytest.mark.parametrize(
    ("event_type", "subject"),
    [
        ("order-created", "ORDERS.order-created"),
        ("ORDERS.created", "ORDERS.created"),
        ("ORDERSX.created", "ORDERS.ORDERSX.created"),
        ("orders.created", "ORDERS.orders.created"),
        ("ORDERS", "ORDERS.ORDERS"),
    ],
)
def test_the_subject_begins_with_the_stream(event_type: str, subject: str) -> None:
    assert subject_of("ORDERS", event_type) == subject


def test_sources_of_two_logs_differ() -> None:
    assert source_of("ORDERS", LOG_ID) != source_of("ORDERS", uuid4())


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"ce_id": None}, "ce-id is missing"),
        ({"ce_id": "seven"}, "ce-id is not a UUID"),
        ({"ce_type": None}, "ce-type is missing"),
        ({"ce_type": "order-paid"}, "on subject ORDERS.order-created"),
        ({"ce_subject": None}, "ce-subject is missing"),
        ({"ce_subject": "%C0%A0"}, "ce-subject is not percent-encoded UTF-8"),
        ({"ce_subject": "a%00b"}, "control character"),
        ({"ce_subject": "x" * 256}, "255"),
        ({"ce_aggregatetype": None}, "ce-aggregatetype is missing"),
        ({"ce_version": None}, "ce-version is missing"),
        ({"ce_version": "0"}, "ce-version is not a positive whole number"),
        ({"ce_version": "-1"}, "ce-version is not a positive whole number"),
        ({"ce_version": "1.5"}, "ce-version is not a positive whole number"),
        ({"ce_version": "٣"}, "ce-version is not a positive whole number"),
        ({"ce_version": "1" * 5_000}, "ce-version is not a positive whole number"),
        ({"ce_position": "2"}, "ce-position is 2 in the message at 1"),
        ({"ce_position": "99999999"}, "ce-position is 99999999 in the message at 1"),
    ],
)
def test_a_message_with_wrong_headers_is_no_notice(
    headers: dict[str, str | None], reason: str
) -> None:
    with pytest.raises(BadNotice, match=reason):
        read(logged(), **headers)


@pytest.mark.parametrize("data", [b"{", b"\xff\xfe", b"[" * 100_000, b"nope"])
def test_a_message_whose_payload_is_not_json_is_no_notice(data: bytes) -> None:
    event = logged()
    with pytest.raises(BadNotice, match="JSON"):
        parse("ORDERS", "ORDERS.order-created", headers_of(event, LOG_ID), data, 1)


def test_an_event_without_data_has_a_notice() -> None:
    event = replace(logged(), data="")
    assert read(event).event_id == event.event_id
