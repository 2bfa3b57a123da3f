"""Who may log in to the admin and what was done in it; and the page that the admin starts with."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.management import get_permission_codename
from django.contrib.auth.models import Group, User
from django.db.models import ManyToManyField, Q
from django.forms import ModelMultipleChoiceField
from django.http import HttpRequest
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from eventstore.client.admin.lists import DayRange
from eventstore.client.admin.pages import BoundedAdmin, ReadOnlyAdmin

admin.site.index_template = "console/landing.html"
admin.site.unregister(User)
admin.site.unregister(Group)


def never_asked() -> Q:
    """Of Django's own permissions those that no page of this admin asks for."""
    found = Q()
    for model in apps.get_models():
        page = admin.site._registry.get(model)
        asked = getattr(page, "permissions_asked", ())
        names = [
            get_permission_codename(action, model._meta)
            for action in ("view", "add", "change", "delete")
            if action not in asked
        ]
        found |= Q(
            content_type__app_label=model._meta.app_label,
            content_type__model=model._meta.model_name,
            codename__in=names,
        )
    return found


class PermissionPicker(BoundedAdmin):
    """Offers those permissions that allow something."""

    def formfield_for_manytomany(
        self, db_field: "ManyToManyField[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> ModelMultipleChoiceField | None:
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if field is not None and db_field.name in ("permissions", "user_permissions"):
            field.queryset = field.queryset.exclude(never_asked())
        return field


@admin.register(User)
class UserAdmin(PermissionPicker, DjangoUserAdmin):
    list_filter = ("is_staff", "is_superuser", "is_active")
    exact_search = ("username", "email")
    search_help_text = "Name or email address"
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(PermissionPicker, DjangoGroupAdmin):
    exact_search = ("name",)
    search_help_text = "Name"


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnlyAdmin):
    list_display = ("action_time", "user", "kind", "thing", "message")
    list_filter = (("action_time", DayRange),)
    list_select_related = ("user", "content_type")
    exact_search = ("object_id",)
    search_help_text = "Id of what it was done to"
    ordering = ("-action_time", "-id")
    fields = (("action_time", "user"), ("kind", "thing", "object_id"), "message")

    @display(description="Kind")
    def kind(self, entry: LogEntry) -> str:
        return str(entry.content_type or "")

    @display(description="To what")
    def thing(self, entry: LogEntry) -> str:
        return entry.object_repr

    @display(description="What was done")
    def message(self, entry: LogEntry) -> str:
        return entry.get_change_message() or str(entry.get_action_flag_display())
