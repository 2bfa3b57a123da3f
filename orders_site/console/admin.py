"""Who may log in to the admin and what was done in it; and the page that the admin starts with."""

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from eventstore.client.admin.lists import DayRange
from eventstore.client.admin.pages import BoundedAdmin, ReadOnlyAdmin

admin.site.index_template = "console/landing.html"
admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, BoundedAdmin):
    list_filter = ("is_staff", "is_superuser", "is_active")
    exact_search = ("username", "email")
    search_help_text = "Name or email address"
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, BoundedAdmin):
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
