"""The log in the admin: its streams and its events, to be read only."""

import json
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from eventstore.client.admin.display import (
    AGGREGATE_PERMISSION,
    aggregate_link,
    change_page_link,
    pretty_json,
)
from eventstore.client.admin.lists import MOST_CHOICES, TimeRange, distinct_values
from eventstore.client.admin.pages import ReadOnlyAdmin
from eventstore.client.events import DEFAULT_STREAM
from eventstore.models import StoredEvent, StreamHead

EVENT_PAGE = "eventstore_storedevent"


@admin.register(StreamHead)
class StreamHeadAdmin(ReadOnlyAdmin):
    list_display = ("name", "position", "log_id")
    fields = ("name", "position", "log_id", "tip")
    ordering = ("name",)

    @display(description="Hash of the last event")
    def tip(self, head: StreamHead) -> str:
        return bytes(head.hash).hex()


class StreamFilter(SimpleListFilter):
    """Always one stream: positions, and the index that serves the list, are a stream's own."""

    title = "stream"
    parameter_name = "stream"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = StreamHead.objects.order_by("name").values_list("name", flat=True)[:MOST_CHOICES]
        return [(name, name) for name in names]

    def choices(self, changelist: Any) -> list[dict[str, Any]]:
        return [choice for choice in super().choices(changelist) if choice["display"] != "All"]

    def value(self) -> str:
        return super().value() or DEFAULT_STREAM

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(stream=self.value())


class EventTypeFilter(SimpleListFilter):
    """The types that the log has."""

    title = "type"
    parameter_name = "event_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in distinct_values(StoredEvent.objects.all(), "event_type")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(event_type=self.value()) if self.value() else queryset


class AggregateTypeFilter(SimpleListFilter):
    """The types of aggregates, told by the first event of each event type: there is no index."""

    title = "aggregate type"
    parameter_name = "aggregate_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        found = {
            StoredEvent.objects.filter(event_type=name)
            .order_by("position")
            .values_list("aggregate_type", flat=True)
            .first()
            for name in distinct_values(StoredEvent.objects.all(), "event_type")
        }
        return [(name, name) for name in sorted(name for name in found if name)]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        known = [name for name, _ in self.lookup_choices]
        return queryset.filter(aggregate_type=self.value()) if self.value() in known else queryset


@admin.register(StoredEvent)
class StoredEventAdmin(ReadOnlyAdmin):
    list_display = (
        "position",
        "event_type_label",
        "aggregate",
        "version",
        "recorded_at",
        "actor",
    )
    list_filter = (
        StreamFilter,
        EventTypeFilter,
        AggregateTypeFilter,
        ("recorded_at", TimeRange),
    )
    exact_search = ("aggregate_id", "event_id", "position")
    search_help_text = "Aggregate id, event id or position"
    links: ClassVar[dict[str, tuple[str, str]]] = {
        "aggregate": (AGGREGATE_PERMISSION, "aggregate_id")
    }
    fields = (
        ("event_type", "recorded"),
        ("aggregate", "aggregate_type"),
        ("version", "neighbours"),
        ("position", "stream"),
        ("event_id",),
        "pretty_data",
        "pretty_metadata",
        "hash_in_hex",
    )

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        # Within a time the index on time leads; it differs from positions if the clock jumped.
        if any(name.startswith("recorded_at_") for name in request.GET):
            return ("-recorded_at", "-position")
        return ("stream", "-position")

    @display(description="Type", label=True)
    def event_type_label(self, event: StoredEvent) -> str:
        return event.event_type

    @display(description="Aggregate")
    def aggregate(self, event: StoredEvent) -> str:
        return aggregate_link(event.aggregate_id)

    @display(description="Actor")
    def actor(self, event: StoredEvent) -> str:
        try:
            return str(json.loads(event.metadata).get("actor", ""))
        except (ValueError, AttributeError, RecursionError):
            return ""

    @display(description="Recorded at")
    def recorded(self, event: StoredEvent) -> str:
        return f"{event.recorded_at:%Y-%m-%d %H:%M:%S.%f} UTC"

    @display(description="Data")
    def pretty_data(self, event: StoredEvent) -> str:
        return pretty_json(event.data)

    @display(description="Metadata")
    def pretty_metadata(self, event: StoredEvent) -> str:
        return pretty_json(event.metadata)

    @display(description="Hash")
    def hash_in_hex(self, event: StoredEvent) -> str:
        return bytes(event.hash).hex()

    @display(description="Before and after")
    def neighbours(self, event: StoredEvent) -> SafeString | str:
        near = StoredEvent.objects.filter(
            aggregate_id=event.aggregate_id, version__in=(event.version - 1, event.version + 1)
        ).order_by("version")
        links = [
            (change_page_link(f"{one.version}: {one.event_type}", EVENT_PAGE, one.pk),)
            for one in near
        ]
        return format_html_join(", ", "{}", links) or "none"
