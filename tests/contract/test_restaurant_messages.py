"""The restaurant writes its events as the samples say, and reads everyone's samples it needs."""

import json
from typing import Any
from uuid import UUID

import pytest

from eventstore.client import UnknownSchemaVersion
from orders_site.money import Money
from restaurant import domain, messages
from tests.sample_messages import FOLDER, recorded, sample, samples_of

PUBLISHED: dict[str, type[domain.Decision]] = {
    "order-approved": domain.OrderApproved,
    "order-rejected": domain.OrderRejected,
    "order-shipped": domain.OrderShipped,
    "order-delivered": domain.OrderDelivered,
}
READ: dict[str, type[domain.OrderFact]] = {
    **PUBLISHED,
    "order-created": domain.OrderPlaced,
    "order-payment-debited": domain.OrderPaid,
    "order-cancelled": domain.OrderCancelled,
}
ALL = samples_of(set(READ))


def test_there_is_a_sample_of_every_type_published_and_read() -> None:
    assert {path.stem for path in (FOLDER / "restaurant").glob("*.json")} == set(PUBLISHED)
    assert {each["event_type"] for each in ALL} == set(READ)


@pytest.mark.parametrize("event_type", PUBLISHED)
def test_what_is_read_from_a_sample_is_written_as_the_sample(event_type: str) -> None:
    given = sample("restaurant", event_type)
    context = given["metadata"]
    cause = recorded(
        "order-payment-debited",
        {},
        {"correlation_id": context["correlation_id"]},
        UUID(context["causation_id"]),
    )
    decision: Any = messages.fact_of(recorded(**given))
    written = messages.decided(decision, UUID(int=1), cause, actor=context["actor"])
    assert (written.event_type, written.aggregate_type) == (event_type, "order")
    assert json.loads(written.data) == given["data"]
    assert json.loads(written.metadata) == context


@pytest.mark.parametrize("given", ALL, ids=lambda each: each["event_type"])
def test_every_sample_of_a_needed_type_is_read(given: dict[str, Any]) -> None:
    assert isinstance(messages.fact_of(recorded(**given)), READ[given["event_type"]])


@pytest.mark.parametrize("given", ALL, ids=lambda each: each["event_type"])
def test_fields_of_later_versions_are_passed_over(given: dict[str, Any]) -> None:
    later = {**given, "data": {**given["data"], "later": {"anything": [1]}}}
    event_id = UUID(int=1)
    assert messages.fact_of(recorded(**later, event_id=event_id)) == messages.fact_of(
        recorded(**given, event_id=event_id)
    )


@pytest.mark.parametrize("given", ALL, ids=lambda each: each["event_type"])
def test_a_later_schema_is_refused(given: dict[str, Any]) -> None:
    later = {**given, "metadata": {**given["metadata"], "schema_version": 999}}
    with pytest.raises(UnknownSchemaVersion, match="999"):
        messages.fact_of(recorded(**later))


def test_the_sample_order_is_read_whole() -> None:
    placed = messages.fact_of(recorded(**sample("ordering", "order-created")))
    assert placed == domain.OrderPlaced(
        restaurant_id="trattoria-da-nina",
        amount=Money(2880, "EUR"),
        items=(
            domain.Item("margherita", "Pizza Margherita", 2),
            domain.Item("espresso", "Caffè “ristretto”", 2),
            domain.Item("water", "Tap water", 1),
        ),
    )


def test_an_unknown_type_says_nothing_whatever_its_schema() -> None:
    assert messages.fact_of(recorded("order-praised", "[]", {"schema_version": 999})) is None


ITEM = {"code": "M1", "name": "Margherita", "quantity": 1}
ORDER = {"restaurant_id": "r", "amount": "1.00", "currency": "EUR", "order_items": [ITEM]}


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        ("order-created", {}),
        ("order-created", "[]"),
        ("order-created", {**ORDER, "amount": 1}),
        ("order-created", {**ORDER, "currency": "XXX"}),
        ("order-created", {**ORDER, "order_items": 7}),
        ("order-created", {**ORDER, "order_items": ["M1"]}),
        ("order-created", {**ORDER, "order_items": [{**ITEM, "quantity": "many"}]}),
        ("order-approved", {}),
        ("order-approved", {"ticket_id": "t", "ready_at": "2025-06-01T12:00:00Z"}),
        ("order-approved", {"ticket_id": str(UUID(int=1)), "ready_at": "2025-06-01T12:00:00"}),
        ("order-approved", {"ticket_id": str(UUID(int=1)), "ready_at": 7}),
        ("order-rejected", "null"),
        ("order-shipped", "7"),
    ],
)
def test_what_lacks_its_promise_is_malformed(event_type: str, data: object) -> None:
    with pytest.raises(messages.MalformedEvent, match=event_type):
        messages.fact_of(recorded(event_type, data))


def test_an_infinite_quantity_is_malformed() -> None:
    text = json.dumps(ORDER).replace('"quantity": 1', '"quantity": 1e400')
    with pytest.raises(messages.MalformedEvent):
        messages.fact_of(recorded("order-created", text))


def test_a_text_that_no_database_takes_is_read_without_what_breaks_it() -> None:
    text = json.dumps(ORDER).replace("Margherita", "a\\u0000b\\ud800c")
    placed = messages.fact_of(recorded("order-created", text))
    assert isinstance(placed, domain.OrderPlaced)
    assert placed.items[0].name == "a\ufffdb\ufffdc"


@pytest.mark.parametrize("given", ALL, ids=lambda each: each["event_type"])
def test_what_happens_to_an_aggregate_that_is_no_order_says_nothing(given: dict[str, Any]) -> None:
    parcel = recorded(**given, aggregate_type="parcel")
    assert messages.fact_of(parcel) is None
