"""The query models in the admin, to be read only; an order's row leads to the order's own page."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from unfold.decorators import display

from eventstore.client.admin.display import AGGREGATE_PAGE, aggregate_link
from eventstore.client.admin.lists import DayRange, FixedOrder
from eventstore.client.admin.pages import ReadOnlyAdmin
from eventstore.client.admin.parked import ParkedMessageAdmin
from orders_site.money import Money
from queries.models import CustomerSummary, OrderRow, ParkedMessage, RestaurantSummary

admin.site.register(ParkedMessage, ParkedMessageAdmin)


class OrderList(FixedOrder):
    """Leads to the page of the order, where the site has one."""

    def url_for_result(self, result: Any) -> str:
        try:
            return reverse(AGGREGATE_PAGE, args=[quote(result.pk)])
        except NoReverseMatch:
            return super().url_for_result(result)


@admin.register(OrderRow)
class OrderAdmin(ReadOnlyAdmin):
    list_display = (
        "order_id",
        "status_label",
        "payment_label",
        "amount_of",
        "restaurant_id",
        "customer_id",
        "created_on",
    )
    list_filter = ("status", "payment_status", ("created_on", DayRange))
    exact_search = ("order_id", "customer_id", "restaurant_id")
    search_help_text = "Order id, customer id or restaurant id"
    ordering = ("-created_on", "-order_id")
    fields = (
        ("page", "api_client"),
        ("status", "payment_status"),
        ("restaurant_id", "customer_id"),
        ("amount_of", "debited", "refunded"),
        ("created_on", "updated_at"),
        ("reason",),
        ("version", "position"),
        ("log_id",),
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[FixedOrder]:
        return OrderList

    @display(
        description="Status",
        label={
            "pending": "default",
            "paid": "warning",
            "approved": "success",
            "shipped": "info",
            "delivered": "primary",
            "rejected": "danger",
            "cancelled": "danger",
        },
    )
    def status_label(self, order: OrderRow) -> str:
        return order.status

    @display(
        description="Payment",
        label={
            "none": "default",
            "debited": "success",
            "failed": "danger",
            "partially refunded": "info",
            "refunded": "info",
        },
    )
    def payment_label(self, order: OrderRow) -> str:
        return order.payment_status.replace("_", " ")

    @display(description="Order")
    def page(self, order: OrderRow) -> str:
        return aggregate_link(order.order_id)

    @display(description="Amount")
    def amount_of(self, order: OrderRow) -> str:
        return f"{Money(order.amount_minor, order.currency)} {order.currency}"

    @display(description="Debited")
    def debited(self, order: OrderRow) -> str:
        return f"{Money(order.debited_minor, order.currency)} {order.currency}"

    @display(description="Refunded")
    def refunded(self, order: OrderRow) -> str:
        return f"{Money(order.refunded_minor, order.currency)} {order.currency}"


class SummaryAdmin(ReadOnlyAdmin):
    """What the summaries show alike."""

    list_filter = (("day", DayRange),)

    @display(description="Amount")
    def amount_of(self, summary: CustomerSummary | RestaurantSummary) -> str:
        return f"{Money(int(summary.amount_minor), summary.currency)} {summary.currency}"


@admin.register(CustomerSummary)
class CustomerSummaryAdmin(SummaryAdmin):
    list_display = ("customer_id", "day", "status", "orders", "amount_of")
    fields = (("customer_id", "day"), ("status", "orders", "amount_of"))
    ordering = ("-day", "-customer_id", "-status", "-currency")


@admin.register(RestaurantSummary)
class RestaurantSummaryAdmin(SummaryAdmin):
    list_display = ("restaurant_id", "day", "status", "orders", "amount_of")
    fields = (("restaurant_id", "day"), ("status", "orders", "amount_of"))
    ordering = ("-day", "-restaurant_id", "-status", "-currency")
