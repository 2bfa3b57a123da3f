"""Parked messages in the admin of the context whose subscription parked them."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.dataclasses import UnfoldAction
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from eventstore.client.admin.commands import CommandAdmin, Done, NothingToDo, StaffCommand
from eventstore.client.admin.display import (
    AGGREGATE_PERMISSION,
    aggregate_link,
    change_page_link,
    preformatted,
    pretty_json,
)
from eventstore.client.admin.lists import distinct_values
from eventstore.client.admin.pages import ReadOnlyAdmin
from eventstore.client.models import ParkedMessage
from eventstore.client.subscribing.parking import discard, request_retry

LABELS = {
    "failing": "warning",
    "parked": "danger",
    "retry": "info",
    "discarded": "default",
    "resolved": "success",
}


def _command(
    title: str,
    heading: str,
    move: Callable[[type[ParkedMessage], Iterable[UUID]], int],
    done: str,
    danger: bool = False,
) -> StaffCommand:
    def run(parked: ParkedMessage, words: str, actor: str) -> Done | NothingToDo:
        if move(type(parked), [parked.pk]):
            return Done(done)
        return NothingToDo("is not parked any more; nothing was done.")

    def hinders(parked: ParkedMessage) -> str:
        waits = parked.state == ParkedMessage.State.PARKED
        return "" if waits else f"Not possible, as it is {parked.get_state_display()}."

    return StaffCommand(title=title, heading=heading, run=run, danger=danger, hinders=hinders)


RETRY = _command(
    "Retry", "To be tried again by the subscription:", request_retry, "A retry was requested."
)
DISCARD = _command(
    "Discard",
    "To be given up; what it should have done will not be done:",
    discard,
    "Discarded.",
    danger=True,
)


class SubscriptionFilter(SimpleListFilter):
    """The subscriptions that have parked something."""

    title = "subscription"
    parameter_name = "subscription"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = model_admin.model._default_manager.all()
        return [(name, name) for name in distinct_values(rows, "subscription")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(subscription=self.value()) if self.value() else queryset


class ParkedMessageAdmin(CommandAdmin, ReadOnlyAdmin):
    """To be registered by each context for its own ParkedMessage."""

    list_display = (
        "updated_at",
        "state_label",
        "subscription",
        "event_type",
        "aggregate",
        "attempts",
        "short_error",
    )
    list_filter = ("state", SubscriptionFilter)
    exact_search = ("aggregate_id", "event_id")
    search_help_text = "Aggregate id or event id"
    links: ClassVar[dict[str, tuple[str, str]]] = {
        "aggregate": (AGGREGATE_PERMISSION, "aggregate_id"),
        "event": ("eventstore.view_storedevent", "event_id"),
    }
    ordering = ("-updated_at", "-id")
    fields = (
        ("state_label", "subscription"),
        ("aggregate", "event"),
        ("event_type", "position"),
        ("from_version", "attempts"),
        ("created_at", "updated_at"),
        "error_text",
        "pretty_payload",
        "traceback_text",
    )
    actions = ("retry", "discard")
    actions_detail = ("retry_this", "discard_this")

    @action(description="Retry", permissions=["retry"])
    def retry(self, request: HttpRequest, rows: QuerySet) -> HttpResponse | None:
        return self.give_all(request, rows, "retry", RETRY)

    @action(
        description="Retry",
        permissions=["retry"],
        url_path="retry",
        icon="replay",
        variant=ActionVariant.PRIMARY,
    )
    def retry_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.give_one(request, object_id, RETRY)

    @action(description="Discard ...", permissions=["discard"])
    def discard(self, request: HttpRequest, rows: QuerySet) -> HttpResponse | None:
        return self.give_all(request, rows, "discard", DISCARD)

    @action(
        description="Discard ...",
        permissions=["discard"],
        url_path="discard",
        icon="delete",
        variant=ActionVariant.DANGER,
    )
    def discard_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.give_one(request, object_id, DISCARD)

    def has_retry_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.retry_parkedmessage")

    def has_discard_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.discard_parkedmessage")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[UnfoldAction]:
        parked = self.get_object(request, str(object_id))
        if parked is None or parked.state != ParkedMessage.State.PARKED:
            return []
        return super().get_actions_detail(request, object_id)

    @display(description="State", label=LABELS)
    def state_label(self, parked: ParkedMessage) -> str:
        return parked.state

    @display(description="Aggregate")
    def aggregate(self, parked: ParkedMessage) -> str:
        return aggregate_link(parked.aggregate_id)

    @display(description="Event")
    def event(self, parked: ParkedMessage) -> str:
        return change_page_link(parked.event_id, "eventstore_storedevent", parked.event_id)

    @display(description="Error")
    def short_error(self, parked: ParkedMessage) -> str:
        return parked.error if len(parked.error) <= 80 else f"{parked.error[:80]}..."

    @display(description="Error")
    def error_text(self, parked: ParkedMessage) -> str:
        return preformatted(parked.error)

    @display(description="Payload")
    def pretty_payload(self, parked: ParkedMessage) -> str:
        return pretty_json(parked.payload)

    @display(description="Traceback")
    def traceback_text(self, parked: ParkedMessage) -> str:
        return preformatted(parked.traceback)
