"""Staff commands in the admin: on one page or many rows, asked before, told and logged after."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminTextInputWidget

from eventstore.client.admin.pages import BoundedAdmin
from eventstore.client.errors import EventStoreError, TransientError

MOST_ROWS = 100
MAX_WORDS_LENGTH = 200
CONFIRMED = "confirmed"
AWAY = "a part that this needs is away for the moment; nothing is known to have happened, try again"


class Done(str):
    """What a command did, in words for the log."""


class NothingToDo(str):
    """Why a command did nothing though it was right, such as a second click."""


@dataclass(frozen=True, kw_only=True)
class StaffCommand:
    """Something that staff may do to a row.

    Args:
        title: of its button.
        heading: over the rows, before it is done.
        run: function of the row, the words given and the actor, such as "staff:anna".
        words: what the words are, such as "Reason"; empty if none are asked for.
        refusals: the exceptions of `run` whose text is made for people.
        danger: whether it can't be taken back, and is asked about whatever else.
        hinders: function of the row: why it can't be done as the row is shown; empty if it can.
    """

    title: str
    heading: str
    run: Callable[[Any, str, str], Done | NothingToDo]
    words: str = ""
    refusals: tuple[type[Exception], ...] = ()
    danger: bool = False
    hinders: Callable[[Any], str] = lambda row: ""

    @property
    def asks(self) -> bool:
        """Whether the list does it only after a question."""
        return self.danger or bool(self.words)


class WordsForm(forms.Form):
    """The words that a command asks for."""

    words = forms.CharField(max_length=MAX_WORDS_LENGTH, widget=UnfoldAdminTextInputWidget)

    def __init__(self, label: str, data: Any = None) -> None:
        super().__init__(data)
        if label:
            self.fields["words"].label = label
        else:
            del self.fields["words"]


class CommandAdmin(BoundedAdmin):
    """An admin whose actions are staff commands."""

    def give_all(
        self, request: HttpRequest, rows: QuerySet, action: str, command: StaffCommand
    ) -> HttpResponse | None:
        """The chosen rows of the list, at most MOST_ROWS; `action` is the list's name for it."""
        chosen = list(rows.order_by()[: MOST_ROWS + 1])
        if len(chosen) > MOST_ROWS:
            text = f"At most {MOST_ROWS} at once; nothing was done."
            self.message_user(request, text, messages.ERROR)
            return None
        hidden = [("action", action), *(("_selected_action", str(row.pk)) for row in chosen)]
        if not command.asks:
            return self._give(request, chosen, command, "", request.get_full_path())
        return self._ask(request, chosen, command, hidden, request.get_full_path())

    def give_one(self, request: HttpRequest, object_id: str, command: StaffCommand) -> HttpResponse:
        """The row whose page it is."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        page = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return self._ask(request, [row], command, [], reverse(page, args=[object_id]))

    def _ask(
        self,
        request: HttpRequest,
        rows: Sequence[Model],
        command: StaffCommand,
        hidden: list[tuple[str, str]],
        then: str,
    ) -> HttpResponse:
        confirmed = request.method == "POST" and CONFIRMED in request.POST
        form = WordsForm(command.words, request.POST if confirmed else None)
        if confirmed and form.is_valid():
            return self._give(request, rows, command, form.cleaned_data.get("words", ""), then)
        context = {
            **self.admin_site.each_context(request),
            "title": command.title,
            "command": command,
            "form": form,
            "rows": [(row, command.hinders(row)) for row in rows],
            "hidden": [*hidden, (CONFIRMED, "yes")],
            "back": then,
            "opts": self.opts,
        }
        return TemplateResponse(request, "eventstore/admin/command.html", context)

    def _give(
        self,
        request: HttpRequest,
        rows: Sequence[Model],
        command: StaffCommand,
        words: str,
        then: str,
    ) -> HttpResponse:
        actor = f"staff:{request.user.get_username()}"
        for row in rows:
            try:
                told = command.run(row, words, actor)
            except TransientError:
                self.message_user(request, f"{row}: {AWAY}", messages.ERROR)
                continue
            except EventStoreError as refusal:
                self.message_user(request, f"{row}: {refusal}", messages.ERROR)
                continue
            except command.refusals as refusal:
                self.message_user(request, f"{row}: {refusal}", messages.ERROR)
                continue
            row.refresh_from_db()
            if isinstance(told, Done):
                self.log_change(request, row, str(told))
                self.message_user(request, f"{row}: {told}", messages.SUCCESS)
            else:
                self.message_user(request, f"{row}: {told}", messages.INFO)
        return HttpResponseRedirect(then)
