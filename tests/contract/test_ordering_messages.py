"""Ordering writes its events exactly as the samples say, and reads them back."""

import json
import re
from uuid import UUID

import pytest

from eventstore.client.errors import UnknownSchemaVersion
from orders_site.money import Money
from orders_site.ordering import domain, messages
from tests.sample_messages import FOLDER, recorded, sample, samples_of

ORDER_ID = "5b2f0b1e-7a53-5a7e-9d0c-1f4f6a0c3d11"
PUBLISHED = [messages.ORDER_CREATED, messages.ORDER_REJECTED, messages.ORDER_CANCELLED]
READ = {
    *PUBLISHED,
    messages.PAYMENT_DEBITED,
    messages.PAYMENT_FAILED,
    messages.PAYMENT_REFUNDED,
    messages.ORDER_APPROVED,
    messages.ORDER_SHIPPED,
    messages.ORDER_DELIVERED,
}
EVERYONES = samples_of(READ)


def test_there_is_a_sample_of_every_published_type():
    assert {path.stem for path in (FOLDER / "ordering").glob("*.json")} == set(PUBLISHED)


@pytest.mark.parametrize("event_type", PUBLISHED)
def test_what_is_read_from_a_sample_is_written_as_the_sample(event_type):
    given = sample("ordering", event_type)
    read = messages.parse(recorded(**given))
    assert isinstance(read, domain.OwnEvent)
    written = messages.new_event(read, event_id=UUID(int=1), order_id=ORDER_ID, metadata="{}")
    assert (written.event_type, written.aggregate_type) == (event_type, "order")
    assert json.loads(written.data) == given["data"]


def test_the_sample_order_is_read_in_minor_units():
    created = messages.parse(recorded(**sample("ordering", "order-created")))
    assert isinstance(created, domain.OrderCreated)
    assert created.amount == Money(2880, "EUR") == created.details.amount


def test_there_is_a_sample_of_every_type_that_ordering_reads():
    assert {given["event_type"] for given in EVERYONES} == READ


@pytest.mark.parametrize("given", EVERYONES, ids=lambda given: given["event_type"])
def test_every_contexts_samples_are_understood(given):
    assert messages.parse(recorded(**given)) is not None


@pytest.mark.parametrize(
    ("event_type", "data", "expected"),
    [
        (
            "order-payment-debited",
            {"payment_id": "p", "amount": "25.00", "currency": "EUR", "later": 1},
            domain.PaymentDebited(Money(2500, "EUR")),
        ),
        (
            "order-payment-refunded",
            {"amount": "25", "currency": "JPY"},
            domain.PaymentRefunded(Money(25, "JPY")),
        ),
        ("order-payment-failed", {"reason": "no funds"}, domain.PaymentFailed("no funds")),
        ("order-approved", {"ticket_id": "t"}, domain.OrderApproved()),
        ("order-shipped", {}, domain.OrderShipped()),
        ("order-delivered", {}, domain.OrderDelivered()),
        ("order-rejected", {}, domain.OrderRejected("")),
    ],
)
def test_only_what_is_needed_is_read(event_type, data, expected):
    assert messages.parse(recorded(event_type, data)) == expected


def test_an_unknown_type_says_nothing():
    assert messages.parse(recorded("order-praised", "[]", {"schema_version": 999})) is None


def test_a_known_type_of_a_later_schema_is_refused():
    with pytest.raises(UnknownSchemaVersion, match="order-approved has schema version 999"):
        messages.parse(recorded("order-approved", {}, {"schema_version": 999}))


@pytest.mark.parametrize(
    "data",
    [
        {},
        "[]",
        "null",
        "7",
        {"amount": None, "currency": "EUR"},
        {"amount": 25, "currency": "EUR"},
        {"amount": "1e3", "currency": "EUR"},
        {"amount": "1.001", "currency": "EUR"},
        {"amount": "1.00", "currency": []},
    ],
)
def test_a_known_type_without_what_it_promises_is_malformed(data):
    with pytest.raises(messages.MalformedEvent, match="order-payment-debited"):
        messages.parse(recorded("order-payment-debited", data))


def test_a_text_that_no_database_takes_is_read_without_what_breaks_it():
    event = recorded("order-rejected", '{"reason": "a\\u0000b\\ud800c"}')
    assert messages.parse(event) == domain.OrderRejected("a\ufffdb\ufffdc")


@pytest.mark.parametrize("given", EVERYONES, ids=lambda given: given["event_type"])
def test_what_happens_to_an_aggregate_that_is_no_order_says_nothing(given):
    assert messages.parse(recorded(**given, aggregate_type="parcel")) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("quantity", "1e400"), ("created_on", '"0001-01-01T00:00:00+14:00"')],
)
def test_a_number_or_a_moment_beyond_all_bounds_is_malformed(field, value):
    text = json.dumps(sample("ordering", "order-created")["data"])
    wild = re.sub(rf'"{field}": ("[^"]*"|[0-9]+)', f'"{field}": {value}', text)
    assert wild != text
    with pytest.raises(messages.MalformedEvent):
        messages.parse(recorded("order-created", wild))
