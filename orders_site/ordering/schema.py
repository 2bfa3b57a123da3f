"""How OpenAPI describes ordering's requests and answers; a test holds it against `bodies`."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers

from orders_site.ordering import details, domain

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "object",
            "additionalProperties": {},
            "description": "With validation-failed: what is wrong, by field.",
        },
    },
    "required": ["type", "title", "status"],
}
ORDER_ID = "5b2f0b1e-7a53-5a7e-9d0c-1f4f6a0c3d11"


class ItemBody(serializers.Serializer):
    """One line of an order."""

    code = serializers.CharField(max_length=details.MAX_CODE_LENGTH)
    name = serializers.CharField(max_length=details.MAX_NAME_LENGTH)
    unit_price = serializers.DecimalField(
        max_digits=18,
        decimal_places=3,
        min_value=0,
        help_text="A decimal text or number; no finer than the currency's minor unit.",
    )
    quantity = serializers.IntegerField(min_value=1, max_value=details.MAX_QUANTITY)


class PlaceOrderBody(serializers.Serializer):
    """An order to place."""

    customer_id = serializers.CharField(max_length=details.MAX_PARTY_ID_LENGTH)
    restaurant_id = serializers.CharField(max_length=details.MAX_PARTY_ID_LENGTH)
    order_items = serializers.ListField(
        child=ItemBody(), min_length=1, max_length=details.MAX_ITEMS
    )
    currency = serializers.CharField(
        min_length=3, max_length=3, required=False, help_text="ISO 4217; the default is the site's."
    )
    created_on = serializers.CharField(
        required=False, write_only=True, help_text="Taken and ignored."
    )


class CancelOrderBody(serializers.Serializer):
    """Why an order is cancelled."""

    reason = serializers.CharField(
        max_length=domain.MAX_REASON_LENGTH, required=False, allow_blank=True
    )


class PlacedItem(serializers.Serializer):
    """One line of an order."""

    code = serializers.CharField()
    name = serializers.CharField()
    unit_price = serializers.CharField()
    quantity = serializers.IntegerField()


class PlacedOrder(serializers.Serializer):
    """An order as its events up to `version` tell it."""

    order_id = serializers.UUIDField()
    customer_id = serializers.CharField()
    restaurant_id = serializers.CharField()
    status = serializers.CharField(help_text=", ".join(domain.Status))
    payment_status = serializers.CharField(help_text=", ".join(domain.PaymentStatus))
    amount = serializers.CharField()
    currency = serializers.CharField()
    order_items = serializers.ListField(child=PlacedItem())
    created_on = serializers.DateTimeField()
    version = serializers.IntegerField()
    reason = serializers.CharField()


PLACE_EXAMPLE: dict[str, Any] = {
    "customer_id": "customer-1",
    "restaurant_id": "trattoria-da-nina",
    "order_items": [
        {"code": "margherita", "name": "Pizza Margherita", "unit_price": "12.50", "quantity": 2}
    ],
}
ORDER_EXAMPLE: dict[str, Any] = {
    "order_id": ORDER_ID,
    **PLACE_EXAMPLE,
    "status": "pending",
    "payment_status": "none",
    "amount": "25.00",
    "currency": "EUR",
    "created_on": "2025-06-01T12:00:00.000000Z",
    "version": 1,
    "reason": "",
}
CANCELLED_EXAMPLE = ORDER_EXAMPLE | {
    "status": "cancelled",
    "payment_status": "debited",
    "version": 3,
    "reason": "ordered twice",
}


def _problem(status: int, slug: str, title: str, description: str, **more: Any) -> Any:
    example = {"type": f"/problems/{slug}", "title": title, "status": status, **more}
    return OpenApiResponse(
        PROBLEM,
        description=description,
        examples=[OpenApiExample(slug, value=example, response_only=True)],
    )


def _problems(**by_status: Any) -> dict[Any, Any]:
    common = {
        401: _problem(401, "not-authenticated", "Unauthorized", "No token, or one unknown."),
        403: _problem(403, "permission-denied", "Forbidden", "Not allowed."),
        411: _problem(411, "length-required", "Length Required", "A body sent in chunks."),
        413: _problem(413, "body-too-large", "Content Too Large", "Above 64 KiB."),
        415: _problem(415, "unsupported-media-type", "Unsupported Media Type", "Not plain JSON."),
        503: _problem(
            503,
            "unavailable",
            "A part that this needs is away for the moment",
            "Try again after Retry-After, with the same Idempotency-Key.",
        ),
    }
    specific = {int(status.strip("_")): answer for status, answer in by_status.items()}
    return {
        (status, "application/problem+json"): answer
        for status, answer in sorted((common | specific).items())
    }


_INVALID = "The request has invalid fields"

place_order_schema = extend_schema(
    operation_id="place_order",
    summary="Place an order",
    description=(
        "With an Idempotency-Key the order is placed once, however often and whenever the request "
        "is sent: each time the answer is the first one."
    ),
    tags=["orders"],
    request=PlaceOrderBody,
    parameters=[
        OpenApiParameter(
            "Idempotency-Key",
            location=OpenApiParameter.HEADER,
            description="1 to 255 visible ASCII characters without commas, such as a UUID.",
        ),
        OpenApiParameter(
            "Location", location=OpenApiParameter.HEADER, response=[201], description="The order."
        ),
    ],
    examples=[
        OpenApiExample("An order", value=PLACE_EXAMPLE, request_only=True),
        OpenApiExample("As placed", value=ORDER_EXAMPLE, response_only=True, status_codes=["201"]),
    ],
    responses={
        201: OpenApiResponse(PlacedOrder, description="Placed, now or before with the same key."),
        **_problems(
            _400=_problem(
                400,
                "validation-failed",
                _INVALID,
                "Malformed, or against a rule.",
                errors={"order_items": {"0": {"quantity": ["is from 1 to 10,000"]}}},
            ),
            _422=_problem(
                422,
                "idempotency-key-reused",
                "The Idempotency-Key was used for another order",
                "The key was used before, with another body.",
            ),
        ),
    },
)
cancel_order_schema = extend_schema(
    operation_id="cancel_order",
    summary="Cancel an order",
    description=(
        "While it is pending or paid; what was paid is refunded. Cancelled again, it answers as "
        "the first time."
    ),
    tags=["orders"],
    request=CancelOrderBody,
    examples=[
        OpenApiExample("With a reason", value={"reason": "ordered twice"}, request_only=True),
        OpenApiExample(
            "Cancelled", value=CANCELLED_EXAMPLE, response_only=True, status_codes=["200"]
        ),
    ],
    responses={
        200: OpenApiResponse(PlacedOrder, description="Cancelled, now or before."),
        **_problems(
            _400=_problem(
                400,
                "validation-failed",
                _INVALID,
                "Malformed, or against a rule.",
                errors={"reason": ["has 0 to 200 characters"]},
            ),
            _404=_problem(
                404,
                "no-such-order",
                "Not Found",
                "There is none, or it isn't yours.",
                detail="There is no such order.",
            ),
            _409=_problem(
                409,
                "cannot-cancel",
                "The order is too far on to be cancelled",
                "It is approved or final.",
                detail="The order is approved; it can be cancelled while pending or paid.",
            ),
        ),
    },
)
