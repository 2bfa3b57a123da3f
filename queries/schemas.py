"""The read side of the API for OpenAPI; responses are built by `representations`, not by these."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from queries.parameters import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from queries.projections import PAYMENT_STATUSES, STATUSES


def _problem(status: int, description: str) -> dict[Any, Any]:
    media_type = "application/problem+json"
    return {(status, media_type): OpenApiResponse(OpenApiTypes.OBJECT, description)}


PROBLEMS = {
    **_problem(400, "A parameter is not allowed or has a bad value; `errors` names it."),
    **_problem(401, "No token, or one that is not valid."),
    **_problem(403, "Staff without the permission, or not for API clients."),
    **_problem(503, "A part that this needs is away; `Retry-After` says when to try again."),
}
NOT_FOUND = _problem(
    404, "There is no such order, or it is another client's: the type is /problems/no-such-order."
)


class _Schema(serializers.Serializer[Any]):
    """Describes a response; nothing is written through it."""


class OrderItemSchema(_Schema):
    code = serializers.CharField()
    name = serializers.CharField()
    unit_price = serializers.CharField(help_text="A decimal in the order's currency.")
    quantity = serializers.IntegerField()


class OrderSchema(_Schema):
    order_id = serializers.UUIDField()
    customer_id = serializers.CharField()
    restaurant_id = serializers.CharField()
    status = serializers.CharField(help_text=", ".join(STATUSES))
    payment_status = serializers.CharField(help_text=", ".join(PAYMENT_STATUSES))
    amount = serializers.CharField(help_text="A decimal.")
    currency = serializers.CharField(help_text="ISO 4217.")
    order_items = OrderItemSchema(many=True)
    created_on = serializers.DateTimeField()
    version = serializers.IntegerField(help_text="How many events of the order this includes.")
    reason = serializers.CharField(help_text="Why it was rejected or cancelled.")


class BehindSchema(_Schema):
    events = serializers.IntegerField(
        allow_null=True, help_text="Events the query model has yet to apply; null: not known now."
    )
    as_of = serializers.DateTimeField(
        allow_null=True, help_text="When the last applied event was recorded."
    )


class _PageSchema(_Schema):
    next = serializers.URLField(allow_null=True, help_text="The next page; null after the last.")
    behind = BehindSchema()


class OrderPageSchema(_PageSchema):
    results = OrderSchema(many=True)


class EventSchema(_Schema):
    event_id = serializers.UUIDField()
    type = serializers.CharField()
    version = serializers.IntegerField(help_text="Counts the order's events, from 1.")
    position = serializers.IntegerField(help_text="Where it stands in the log of all orders.")
    recorded_at = serializers.DateTimeField()
    actor = serializers.CharField(help_text="Who did it: api-client, staff, payments, ...")
    data = serializers.JSONField()


class EventPageSchema(_Schema):
    results = EventSchema(many=True)
    next_version = serializers.IntegerField(
        allow_null=True, help_text="The from_version of the next page; null after the last."
    )


class _SummarySchema(_Schema):
    day = serializers.DateField(help_text="The day the orders were created on, in UTC.")
    status = serializers.CharField(help_text="The status they are in now.")
    currency = serializers.CharField()
    orders = serializers.IntegerField()
    amount = serializers.CharField(help_text="The sum of their amounts, a decimal.")


class CustomerSummarySchema(_SummarySchema):
    customer_id = serializers.CharField()


class RestaurantSummarySchema(_SummarySchema):
    restaurant_id = serializers.CharField()


class CustomerSummaryPageSchema(_PageSchema):
    results = CustomerSummarySchema(many=True)


class RestaurantSummaryPageSchema(_PageSchema):
    results = RestaurantSummarySchema(many=True)


def text_parameter(name: str, description: str, **options: Any) -> OpenApiParameter:
    """An optional query parameter that is a text."""
    return OpenApiParameter(name, OpenApiTypes.STR, description=description, **options)


def integer_parameter(name: str, description: str, **options: Any) -> OpenApiParameter:
    """An optional query parameter that is an integer."""
    return OpenApiParameter(name, OpenApiTypes.INT, description=description, **options)


PAGING_PARAMETERS = [
    text_parameter("cursor", "From `next` of the page before."),
    integer_parameter("page_size", f"1 to {MAX_PAGE_SIZE}, {DEFAULT_PAGE_SIZE} unless given."),
]
ORDER_EXAMPLE = OpenApiExample(
    "a paid order",
    {
        "order_id": "8d5e957f-297c-5a24-bdb2-3b30c8b2b9d7",
        "customer_id": "0d4ce5d4-5a0c-4c39-9a4e-1f4c8c2b6f11",
        "restaurant_id": "5b8a2c1e-7f0d-4a55-8a39-6f9b5b8d2c10",
        "status": "paid",
        "payment_status": "debited",
        "amount": "25.00",
        "currency": "EUR",
        "order_items": [
            {"code": "ramen", "name": "Shoyu ramen", "unit_price": "12.50", "quantity": 2}
        ],
        "created_on": "2026-02-28T12:00:00.250000Z",
        "version": 2,
        "reason": "",
    },
    response_only=True,
    status_codes=["200"],
)
