"""The kitchen's desk: restaurants, which staff edit, and tickets, which staff answer."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from unfold.dataclasses import UnfoldAction
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from eventstore.client.admin.commands import CommandAdmin, Done, NothingToDo, StaffCommand
from eventstore.client.admin.display import AGGREGATE_PERMISSION, aggregate_link
from eventstore.client.admin.lists import DayRange
from eventstore.client.admin.pages import BoundedAdmin, ReadOnlyAdmin
from eventstore.client.admin.parked import ParkedMessageAdmin
from eventstore.client.connection import event_store
from restaurant import tickets
from restaurant.domain import Status, TicketRefusal, WordsMissing
from restaurant.models import ParkedMessage, Restaurant, Ticket

admin.site.register(ParkedMessage, ParkedMessageAdmin)

REFUSALS = (TicketRefusal, WordsMissing, tickets.UnknownTicket)


def _command(
    title: str,
    heading: str,
    reached: Status,
    give: Callable[..., Any],
    words: str = "",
    danger: bool = False,
) -> StaffCommand:
    def run(ticket: Ticket, given: str, actor: str) -> Done | NothingToDo:
        if ticket.state == reached:
            return NothingToDo(f"is {reached} already.")
        give(ticket.pk, *([given] if words else []), actor=actor, store=event_store())
        return Done(f"{reached.capitalize()}: {given}" if given else f"{reached.capitalize()}.")

    def hinders(ticket: Ticket) -> str:
        offered = OFFERED.get(ticket.state, set())
        return "" if title.lower() in offered else f"Not possible, as it is {ticket.state}."

    return StaffCommand(
        title=title,
        heading=heading,
        run=run,
        words=words,
        refusals=REFUSALS,
        danger=danger,
        hinders=hinders,
    )


APPROVE = _command("Approve", "To be taken on:", Status.APPROVED, tickets.approve_ticket)
REJECT = _command(
    "Reject",
    "To be turned down; the customer gets the money back and reads the reason:",
    Status.REJECTED,
    tickets.reject_ticket,
    words="Reason",
    danger=True,
)
SHIP = _command(
    "Ship", "To be handed to a courier:", Status.SHIPPED, tickets.ship_ticket, words="Courier"
)
DELIVER = _command(
    "Deliver",
    "Arrived at the customer:",
    Status.DELIVERED,
    tickets.deliver_ticket,
    words="Received by",
)
# The buttons on a ticket's page, by its state.
OFFERED: dict[str, set[str]] = {
    "open": {"approve", "reject"},
    "approved": {"ship"},
    "shipped": {"deliver"},
}


@admin.register(Restaurant)
class RestaurantAdmin(BoundedAdmin):
    list_display = ("name", "id", "is_open", "accepts_automatically", "preparation_minutes")
    list_filter = ("is_open", "accepts_automatically")
    exact_search = ("id", "name")
    search_help_text = "Id or name"
    ordering = ("id",)
    fields = ("id", "name", "is_open", "accepts_automatically", "preparation_minutes")

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return ["id"] if obj else []


@admin.register(Ticket)
class TicketAdmin(CommandAdmin, ReadOnlyAdmin):
    list_display = ("created_at", "state_label", "restaurant_id", "order", "amount_of", "dishes")
    list_filter = ("state", ("created_at", DayRange))
    exact_search = ("order_id", "restaurant_id", "id")
    search_help_text = "Order id, restaurant id or ticket id"
    links: ClassVar[dict[str, tuple[str, str]]] = {"order": (AGGREGATE_PERMISSION, "order_id")}
    ordering = ("-created_at", "-id")
    fields = (
        ("state_label", "order"),
        ("restaurant_id", "dishes"),
        ("amount_of", "id"),
        ("ready_at", "reason"),
        ("courier", "received_by"),
        ("created_at", "updated_at"),
        ("version",),
    )
    actions = ("approve", "reject", "ship", "deliver")
    actions_detail = ("approve_this", "reject_this", "ship_this", "deliver_this")

    @action(description="Approve", permissions=["approve"])
    def approve(self, request: HttpRequest, rows: QuerySet) -> HttpResponse | None:
        return self.give_all(request, rows, "approve", APPROVE)

    @action(
        description="Approve",
        permissions=["approve"],
        url_path="approve",
        icon="check",
        variant=ActionVariant.SUCCESS,
    )
    def approve_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.give_one(request, object_id, APPROVE)

    @action(description="Reject ...", permissions=["reject"])
    def reject(self, request: HttpRequest, rows: QuerySet) -> HttpResponse | None:
        return self.give_all(request, rows, "reject", REJECT)

    @action(
        description="Reject ...",
        permissions=["reject"],
        url_path="reject",
        icon="close",
        variant=ActionVariant.DANGER,
    )
    def reject_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.give_one(request, object_id, REJECT)

    @action(description="Ship ...", permissions=["ship"])
    def ship(self, request: HttpRequest, rows: QuerySet) -> HttpResponse | None:
        return self.give_all(request, rows, "ship", SHIP)

    @action(
        description="Ship ...",
        permissions=["ship"],
        url_path="ship",
        icon="local_shipping",
        variant=ActionVariant.PRIMARY,
    )
    def ship_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.give_one(request, object_id, SHIP)

    @action(description="Deliver ...", permissions=["deliver"])
    def deliver(self, request: HttpRequest, rows: QuerySet) -> HttpResponse | None:
        return self.give_all(request, rows, "deliver", DELIVER)

    @action(
        description="Deliver ...",
        permissions=["deliver"],
        url_path="deliver",
        icon="package",
        variant=ActionVariant.PRIMARY,
    )
    def deliver_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.give_one(request, object_id, DELIVER)

    def has_approve_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("restaurant.approve_ticket")

    def has_reject_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("restaurant.reject_ticket")

    def has_ship_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("restaurant.ship_ticket")

    def has_deliver_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("restaurant.deliver_ticket")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[UnfoldAction]:
        ticket = self.get_object(request, str(object_id))
        offered = OFFERED.get(ticket.state, set()) if ticket else set()
        allowed: Iterable[UnfoldAction] = super().get_actions_detail(request, object_id)
        return [one for one in allowed if one.path in offered]

    @display(description="Order")
    def order(self, ticket: Ticket) -> str:
        return aggregate_link(ticket.order_id)

    @display(description="Amount")
    def amount_of(self, ticket: Ticket) -> str:
        return f"{ticket.amount} {ticket.currency}"

    @display(description="Items")
    def dishes(self, ticket: Ticket) -> str:
        lines = [(item.get("quantity"), item.get("name")) for item in ticket.items]
        shown = format_html_join(", ", "{} × {}", lines[:5])
        return format_html("{}, ...", shown) if len(lines) > 5 else shown

    @display(
        description="State",
        label={
            "open": "warning",
            "approved": "success",
            "rejected": "danger",
            "shipped": "info",
            "delivered": "primary",
        },
    )
    def state_label(self, ticket: Ticket) -> str:
        return str(ticket.state)
