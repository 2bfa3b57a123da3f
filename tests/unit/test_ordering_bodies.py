"""What the API makes of request bodies, good and bad."""

from decimal import Decimal

import pytest
from rest_framework.exceptions import ValidationError

from orders_site.money import Money
from orders_site.ordering.bodies import cancel_reason, order_details
from orders_site.ordering.details import OrderDetails, OrderItem

ITEM = {"code": "margherita", "name": "Pizza", "unit_price": "12.50", "quantity": 2}
BODY = {"customer_id": "c", "restaurant_id": "r", "order_items": [ITEM]}


def read(body):
    return order_details(body, default_currency="EUR")


def refused(body, reader=read):
    with pytest.raises(ValidationError) as error:
        reader(body)
    return error.value.detail


def test_a_body_becomes_an_order_in_the_default_currency():
    assert read(BODY) == OrderDetails(
        "c", "r", "EUR", (OrderItem("margherita", "Pizza", Money(1250, "EUR"), 2),)
    )


def test_another_currency_counts_in_its_own_minor_units():
    assert read(BODY | {"currency": "KWD"}).items[0].unit_price == Money(12500, "KWD")


@pytest.mark.parametrize("created_on", ["2025-06-01T12:00:00Z", "junk", None, 17, {}])
def test_created_on_is_taken_and_ignored(created_on):
    assert read(BODY | {"created_on": created_on}) == read(BODY)


@pytest.mark.parametrize(
    "price", ["12.5", "12.50", "12.500", Decimal("12.5"), Decimal("1.25E+1"), "012.5"]
)
def test_a_price_may_be_spelt_in_many_ways(price):
    body = BODY | {"order_items": [ITEM | {"unit_price": price}]}
    assert read(body).items[0].unit_price == Money(1250, "EUR")


def test_a_whole_price_may_be_an_integer():
    body = BODY | {"order_items": [ITEM | {"unit_price": 12}]}
    assert read(body).items[0].unit_price == Money(1200, "EUR")


@pytest.mark.parametrize("body", [None, [], 1, "x", True, Decimal("1.5")])
def test_a_body_that_is_no_object_is_refused(body):
    assert "non_field_errors" in refused(body)


@pytest.mark.parametrize("field", ["status", "amount", "id", "order_id", "payment_status"])
def test_a_field_that_can_not_be_sent_is_named(field):
    assert refused(BODY | {field: "x"}) == {field: ["is not a field that can be sent"]}


def test_an_unknown_field_of_an_item_is_named_with_its_place():
    assert refused(BODY | {"order_items": [ITEM, ITEM | {"price": 1}]}) == {
        "order_items": {"1": {"price": ["is not a field that can be sent"]}}
    }


def test_a_strange_name_is_shown_safely_and_short():
    (name,) = refused(BODY | {"\ud800\u202e<" + "x" * 500: 1})
    assert name.isascii()
    assert name.isprintable()
    assert len(name) < 100


@pytest.mark.parametrize("field", ["customer_id", "restaurant_id", "order_items"])
def test_a_missing_field_is_named(field):
    body = {name: value for name, value in BODY.items() if name != field}
    assert refused(body) == {field: ["is required"]}


@pytest.mark.parametrize("field", ["customer_id", "restaurant_id", "currency"])
@pytest.mark.parametrize("value", [None, 1, True, [], {}, Decimal("1.5")])
def test_what_should_be_a_text_and_is_not_is_refused(field, value):
    assert refused(BODY | {field: value}) == {field: ["is a text"]}


@pytest.mark.parametrize("currency", ["", "eur", "EURO", "XXX", "€", "E\x00R"])
def test_an_unknown_currency_is_refused(currency):
    assert list(refused(BODY | {"currency": currency})) == ["currency"]


@pytest.mark.parametrize("items", [None, {}, "x", 1, True])
def test_items_that_are_no_list_are_refused(items):
    assert refused(BODY | {"order_items": items}) == {"order_items": ["is a list of items"]}


def test_far_too_many_items_are_refused_in_a_word():
    assert refused(BODY | {"order_items": [1] * 10_000}) == {"order_items": ["has 1 to 100 items"]}


@pytest.mark.parametrize(
    "price",
    [
        None,
        True,
        [],
        {},
        12.5,
        "",
        "1e3",
        "1_0",
        " 1",
        "١٢",
        "NaN",
        "Infinity",
        "+1",
        "0x10",
        "12.505",
        "12,50",
        Decimal("0.001"),
        Decimal("NaN"),
        Decimal("Infinity"),
        "123456789.00000000000000000001",
        "9" * 16,
        "9" * 5_000,
        10**30,
    ],
)
def test_what_is_no_price_in_the_currency_is_refused(price):
    body = BODY | {"order_items": [ITEM | {"unit_price": price}]}
    assert list(refused(body)["order_items"]["0"]) == ["unit_price"]


@pytest.mark.parametrize("quantity", [None, True, "2", 1.0, Decimal("2.0"), [], {}])
def test_a_quantity_that_is_no_integer_is_refused(quantity):
    body = BODY | {"order_items": [ITEM | {"quantity": quantity}]}
    assert refused(body) == {"order_items": {"0": {"quantity": ["is an integer"]}}}


def test_all_that_is_wrong_is_said_at_once():
    body = {"customer_id": 1, "status": "paid", "order_items": [ITEM | {"code": None}, 7]}
    assert set(refused(body)) == {"customer_id", "restaurant_id", "status", "order_items"}
    assert set(refused(body)["order_items"]) == {"0", "1"}


@pytest.mark.parametrize(
    ("body", "reason"), [({}, ""), ({"reason": ""}, ""), ({"reason": "x" * 200}, "x" * 200)]
)
def test_a_cancellation_may_have_a_reason(body, reason):
    assert cancel_reason(body) == reason


@pytest.mark.parametrize(
    "body",
    [None, [], {"reason": None}, {"reason": 1}, {"reason": "x" * 201}, {"reason": "a\x00b"}],
)
def test_a_reason_that_is_no_short_text_is_refused(body):
    assert refused(body, cancel_reason)


def test_a_cancellation_has_no_other_field():
    assert refused({"by": "me"}, cancel_reason) == {"by": ["is not a field that can be sent"]}
