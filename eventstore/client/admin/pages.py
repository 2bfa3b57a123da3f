"""What the contexts' admins share: read-only pages, and the page of parked messages."""

from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from eventstore.client.admin.lists import BoundedPaginator, FixedOrder, lookups_of


class BoundedAdmin(ModelAdmin):
    """Lists with bounded counts, in the order of `ordering`, searched by exact values only.

    `exact_search`: the fields of which one may equal the search text; each has an index.
    """

    exact_search: ClassVar[tuple[str, ...]] = ()
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_disable_select_all = True
    list_filter_submit = True
    sortable_by = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[FixedOrder]:
        return FixedOrder

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        # Django allows any lookup on a model's own fields: a regular expression over all rows.
        return request is not None and lookup in lookups_of(self.get_list_filter(request))

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return self.exact_search

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        wanted = Q()
        for name in self.exact_search:
            try:
                value = self.opts.get_field(name).to_python(text)
            except ValidationError:
                continue
            wanted |= Q(**{name: value})
        return (queryset.filter(wanted) if wanted else queryset.none()), False


class ReadOnlyAdmin(BoundedAdmin):
    """Rows that are history: to be looked at, whoever looks."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
