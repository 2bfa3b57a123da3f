"""Payments writes its events as the samples say, and reads everyone's samples that it needs."""

import json
import sys
from typing import Any
from uuid import UUID

import pytest

from eventstore.client import NewEvent, UnknownSchemaVersion
from orders_site.money import Money
from payments import messages
from payments.domain import (
    OrderClosed,
    OrderFact,
    OrderPlaced,
    PaymentDebited,
    PaymentFailed,
    PaymentRefunded,
)
from tests.sample_messages import FOLDER, recorded, sample, samples_of

PUBLISHED = {messages.PAYMENT_DEBITED, messages.PAYMENT_FAILED, messages.PAYMENT_REFUNDED}
READ: dict[str, type[OrderFact]] = {
    "order-created": OrderPlaced,
    "order-payment-debited": PaymentDebited,
    "order-payment-failed": PaymentFailed,
    "order-payment-refunded": PaymentRefunded,
    "order-rejected": OrderClosed,
    "order-cancelled": OrderClosed,
}
ALL = samples_of(set(READ))


def test_there_is_a_sample_of_every_type_published_and_read() -> None:
    assert {path.stem for path in (FOLDER / "payments").glob("*.json")} == PUBLISHED
    assert {each["event_type"] for each in ALL} == set(READ)


def written_again(given: dict[str, Any]) -> NewEvent:
    """The sample's event as payments writes it for the same cause and content."""
    context, data = given["metadata"], given["data"]
    cause = recorded(
        "order-created",
        {},
        {"correlation_id": context["correlation_id"]},
        UUID(context["causation_id"]),
    )
    if given["event_type"] == messages.PAYMENT_FAILED:
        return messages.payment_failed(cause, data["code"], data["reason"])
    amount = Money.parse(data["amount"], data["currency"])
    reference = data["provider_reference"]
    if given["event_type"] == messages.PAYMENT_DEBITED:
        payment_id = UUID(data["payment_id"])
        return messages.payment_debited(cause, payment_id, amount, data["provider"], reference)
    debit = messages.fact_of(recorded(**sample("payments", messages.PAYMENT_DEBITED)))
    assert isinstance(debit, PaymentDebited)
    return messages.payment_refunded(cause, debit, UUID(data["refund_id"]), amount, reference)


@pytest.mark.parametrize("event_type", sorted(PUBLISHED))
def test_what_payments_publishes_is_what_the_sample_says(event_type: str) -> None:
    given = sample("payments", event_type)
    written = written_again(given)
    again = recorded(written.event_type, written.data, json.loads(written.metadata))
    assert (again.event_type, again.payload, again.context) == (
        event_type,
        given["data"],
        given["metadata"],
    )


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


def test_an_unknown_type_says_nothing_whatever_its_schema() -> None:
    assert messages.fact_of(recorded("order-praised", "[]", {"schema_version": 999})) is None


@pytest.mark.parametrize(
    "data",
    [
        "[]",
        "null",
        "7",
        {},
        {"amount": 25, "currency": "EUR"},
        {"amount": "1e3", "currency": "EUR"},
        {"amount": "1.001", "currency": "EUR"},
        {"amount": "1.00", "currency": []},
        {"amount": "1.00", "currency": "XXX"},
        {"amount": None, "currency": None},
        '{"amount": 1e400, "currency": "EUR"}',
    ],
)
@pytest.mark.parametrize("event_type", ["order-created", *sorted(PUBLISHED)])
def test_what_lacks_its_promise_is_malformed(event_type: str, data: object) -> None:
    with pytest.raises(messages.MalformedEvent, match=event_type):
        messages.fact_of(recorded(event_type, data))


def test_a_text_that_no_database_takes_is_read_without_what_breaks_it() -> None:
    failed = recorded("order-payment-failed", '{"code": "a\\u0000", "reason": "b\\ud800c"}')
    assert messages.fact_of(failed) == PaymentFailed(code="a\ufffd", reason="b\ufffdc")


def test_an_endless_decline_is_cut() -> None:
    created = recorded(**sample("ordering", "order-created"))
    failed = messages.payment_failed(created, "c" * 10_000, "r" * 10_000)
    assert len(failed.data) < 1_000


def test_all_outcomes_of_a_payment_have_one_id() -> None:
    created = recorded(**sample("ordering", "order-created"))
    money = Money(2880, "EUR")
    debited = messages.payment_debited(created, UUID(int=1), money, "sandbox", "ch_1")
    assert debited.event_id == messages.payment_failed(created, "code", "reason").event_id


def test_the_refund_of_a_debit_has_one_id_whatever_the_cause() -> None:
    debit = messages.fact_of(recorded(**sample("payments", messages.PAYMENT_DEBITED)))
    assert isinstance(debit, PaymentDebited)
    causes = [recorded(**each) for each in samples_of({"order-rejected", "order-cancelled"})]
    refunds = [
        messages.payment_refunded(cause, debit, UUID(int=1), debit.amount, "re_1")
        for cause in causes
    ]
    assert len({(refund.event_id, refund.data) for refund in refunds}) == 1 < len(refunds)


@pytest.mark.parametrize("given", ALL, ids=lambda each: each["event_type"])
def test_what_happens_to_an_aggregate_that_is_no_order_says_nothing(given: dict[str, Any]) -> None:
    parcel = recorded(**given, aggregate_type="parcel")
    assert messages.fact_of(parcel) is None


def test_data_nested_too_deeply_for_its_reader_is_malformed() -> None:
    nested = '{"amount": ' + "[" * 900 + "]" * 900 + "}"
    event = recorded("order-created", nested)

    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        else:
            messages.fact_of(event)

    with pytest.raises(messages.MalformedEvent):
        deep(sys.getrecursionlimit() // 2)
