"""Payments and refunds in the admin: history, to be read only."""

from typing import ClassVar

from django.contrib import admin
from unfold.decorators import display

from eventstore.client.admin.display import AGGREGATE_PERMISSION, aggregate_link
from eventstore.client.admin.lists import DayRange
from eventstore.client.admin.pages import ReadOnlyAdmin
from eventstore.client.admin.parked import ParkedMessageAdmin
from payments.models import ParkedMessage, Payment, Refund

admin.site.register(ParkedMessage, ParkedMessageAdmin)


class MovementAdmin(ReadOnlyAdmin):
    """What payments and refunds show alike."""

    list_display = ("amount_of", "state_label", "order", "provider_reference", "created_at")
    list_filter = ("state", ("created_at", DayRange))
    exact_search = ("order_id", "id")
    links: ClassVar[dict[str, tuple[str, str]]] = {"order": (AGGREGATE_PERMISSION, "order_id")}
    ordering = ("-created_at", "-id")

    @display(description="Order")
    def order(self, movement: Payment | Refund) -> str:
        return aggregate_link(movement.order_id)

    @display(description="Amount")
    def amount_of(self, movement: Payment | Refund) -> str:
        return f"{movement.amount} {movement.currency}"

    @display(
        description="State",
        label={
            "requested": "warning",
            "debited": "success",
            "failed": "danger",
            "refunded": "info",
            "partially_refunded": "info",
            "refused": "danger",
        },
    )
    def state_label(self, movement: Payment | Refund) -> str:
        return movement.state


@admin.register(Payment)
class PaymentAdmin(MovementAdmin):
    search_help_text = "Order id or payment id"
    fields = (
        ("amount_of", "state"),
        ("order", "id"),
        ("provider", "provider_reference"),
        ("code", "reason"),
        ("created_at", "updated_at", "asked_at"),
        ("version",),
    )


@admin.register(Refund)
class RefundAdmin(MovementAdmin):
    search_help_text = "Order id or refund id"
    fields = (
        ("amount_of", "state"),
        ("order", "id"),
        ("payment", "provider_reference"),
        ("code", "reason"),
        ("created_at", "updated_at", "asked_at"),
        ("version",),
    )
