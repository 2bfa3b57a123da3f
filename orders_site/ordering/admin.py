"""Ordering in the admin: sagas, to be read only, and the API's clients."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.dataclasses import UnfoldAction
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from eventstore.client.admin.commands import CommandAdmin, Done, NothingToDo, StaffCommand
from eventstore.client.admin.display import AGGREGATE_PERMISSION, aggregate_link
from eventstore.client.admin.lists import DayRange
from eventstore.client.admin.pages import ReadOnlyAdmin
from eventstore.client.admin.parked import ParkedMessageAdmin
from orders_site.ordering.models import ApiClient, OrderSaga, ParkedMessage
from orders_site.ordering.reads import alarmed

admin.site.register(ParkedMessage, ParkedMessageAdmin)


class AttentionFilter(SimpleListFilter):
    """Sagas that people should look at."""

    title = "attention"
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("alarm", "Alarm"), ("overdue", "Overdue")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        match self.value():
            case "alarm":
                return alarmed(queryset)
            case "overdue":
                return queryset.filter(deadline__lt=timezone.now())
        return queryset


@admin.register(OrderSaga)
class OrderSagaAdmin(ReadOnlyAdmin):
    list_display = ("order_id", "state_label", "order_status", "deadline", "alarm", "updated_at")
    list_filter = ("state", AttentionFilter, ("updated_at", DayRange))
    exact_search = ("order_id",)
    search_help_text = "Order id"
    links: ClassVar[dict[str, tuple[str, str]]] = {"order": (AGGREGATE_PERMISSION, "order_id")}
    ordering = ("-updated_at", "order_id")
    fields = (
        ("order", "state"),
        ("order_status", "reason"),
        ("deadline", "alarm"),
        ("created_at", "updated_at"),
        ("version", "log_id"),
    )

    @display(description="Order")
    def order(self, saga: OrderSaga) -> str:
        return aggregate_link(saga.order_id)

    @display(
        description="State",
        label={
            "awaiting payment": "warning",
            "payment failed": "danger",
            "awaiting approval": "warning",
            "awaiting refund": "warning",
            "completed": "success",
            "closed": "info",
        },
    )
    def state_label(self, saga: OrderSaga) -> str:
        return str(saga.get_state_display())


def _switch(title: str, heading: str, active: bool) -> StaffCommand:
    state = "active" if active else "inactive"

    def run(client: ApiClient, words: str, actor: str) -> Done | NothingToDo:
        switched = ApiClient.objects.filter(pk=client.pk, is_active=not active)
        if switched.update(is_active=active):
            return Done(f"Made {state}.")
        return NothingToDo(f"is {state} already.")

    return StaffCommand(title=title, heading=heading, run=run)


ACTIVATE = _switch("Activate", "May call the API again:", True)
DEACTIVATE = _switch("Deactivate", "All calls refused from now on:", False)


@admin.register(ApiClient)
class ApiClientAdmin(CommandAdmin, ReadOnlyAdmin):
    list_display = ("name", "id", "is_active", "created_at")
    list_filter = ("is_active",)
    exact_search = ("name", "id")
    permissions_asked = ("view", "add", "change")
    search_help_text = "Name or id"
    ordering = ("name",)
    actions = ("activate", "deactivate")
    actions_detail = ("activate_this", "deactivate_this")

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return ["name", "id", "is_active", "created_at"] if obj else ["name"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("ordering.add_apiclient")

    def save_model(self, request: HttpRequest, obj: Model, form: forms.Form, change: Any) -> None:
        client, token = ApiClient.issue(form.cleaned_data["name"])
        obj.__dict__.update(client.__dict__)
        text = f"The token of {client.name}, shown only now: {token}"
        self.message_user(request, text, messages.WARNING)

    @action(description="Activate", permissions=["switch"])
    def activate(self, request: HttpRequest, rows: QuerySet) -> HttpResponse | None:
        return self.give_all(request, rows, "activate", ACTIVATE)

    @action(description="Activate", permissions=["switch"], url_path="activate", icon="check")
    def activate_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.give_one(request, object_id, ACTIVATE)

    @action(description="Deactivate", permissions=["switch"])
    def deactivate(self, request: HttpRequest, rows: QuerySet) -> HttpResponse | None:
        return self.give_all(request, rows, "deactivate", DEACTIVATE)

    @action(
        description="Deactivate",
        permissions=["switch"],
        url_path="deactivate",
        icon="block",
        variant=ActionVariant.DANGER,
    )
    def deactivate_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.give_one(request, object_id, DEACTIVATE)

    def has_switch_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("ordering.change_apiclient")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[UnfoldAction]:
        client = self.get_object(request, str(object_id))
        offered = "deactivate" if client is not None and client.is_active else "activate"
        allowed = super().get_actions_detail(request, object_id)
        return [one for one in allowed if one.path == offered]
