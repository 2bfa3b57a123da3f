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
    # Of Django's four permissions on the model those that anything here asks for.
    permissions_asked: ClassVar[tuple[str, ...]] = ("view", "add", "change", "delete")
    # Columns that lead to another page, each with the permission for that page and the field that
    # is shown to who does not have it.
    links: ClassVar[dict[str, tuple[str, str]]] = {}
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_disable_select_all = True
    list_filter_submit = True
    sortable_by = ()

    def get_list_display(self, request: HttpRequest) -> Any:
        return self._linked(super().get_list_display(request), request)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return self._linked(super().get_fields(request, obj), request)

    def _linked(self, names: Any, request: HttpRequest) -> Any:
        """The columns, or rows of fields, without links that would end at a refusal."""
        if isinstance(names, list | tuple):
            return tuple(self._linked(name, request) for name in names)
        permission, plain = self.links.get(names, ("", ""))
        return plain if permission and not request.user.has_perm(permission) else names

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

    permissions_asked: ClassVar[tuple[str, ...]] = ("view",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
