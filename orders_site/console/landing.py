"""The admin's first page: what happened today, what waits for people, and how the parts are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from orders_site.console.parts import Answer
from orders_site.console.questions import (
    CONTEXTS,
    MOST,
    PARTS,
    ContextState,
    Progress,
    progress,
    today,
)

TITLES = {
    "ordering": "Orders database",
    "payments": "Payments database",
    "restaurant": "Restaurant database",
    "queries": "Queries database",
    "log": "Event log database",
    "event store": "Event store (gRPC)",
    "NATS": "NATS",
}
# An order's statuses and a payment's states in the order in which they come about.
STATUSES = ("pending", "paid", "approved", "shipped", "delivered", "rejected", "cancelled")
STATES = ("requested", "debited", "failed", "abandoned", "partially_refunded", "refunded")


@dataclass(frozen=True)
class Figure:
    """A number, what it counts, and the list of what was counted."""

    name: str
    number: int
    link: str
    alarming: bool = False

    @property
    def text(self) -> str:
        return f"{self.number:,}" if self.number < MOST else f"{MOST:,} or more"


@dataclass(frozen=True)
class Card:
    """Figures that belong together; `empty` is said when there are none."""

    title: str
    figures: list[Figure]
    empty: str
    problem: str = ""


@dataclass(frozen=True)
class Health:
    """One line about a part or a subscription."""

    name: str
    words: str
    tone: str


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """UNFOLD's DASHBOARD_CALLBACK: what the landing page shows to this user."""
    answers = PARTS.ask()
    return context | {
        "title": "Today",
        "cards": list(cards(request, answers)),
        "parts": [_part(name, answers[name]) for name in TITLES],
        "subscriptions": [_subscription(one) for one in progress(answers)],
    }


def cards(request: HttpRequest, answers: Mapping[str, Answer]) -> Iterator[Card]:
    """The cards whose rows the user may see."""
    may = request.user.has_perm
    day = today().date().isoformat()
    if may("queries.view_orderrow"):
        since = {"created_on_from": day}
        yield _by_state("Orders today", "queries", "orderrow", "status", STATUSES, since, answers)
    if may("payments.view_payment"):
        since = {"created_at_from": day}
        yield _by_state("Payments today", "payments", "payment", "state", STATES, since, answers)
    if may("restaurant.view_ticket"):
        yield _waiting(answers["restaurant"])
    if labels := [label for label in CONTEXTS if may(f"{label}.view_parkedmessage")]:
        yield _parked(labels, answers)
    if may("ordering.view_ordersaga"):
        yield _alarms(answers["ordering"])


def _by_state(
    title: str,
    label: str,
    model: str,
    field: str,
    states: tuple[str, ...],
    since: dict[str, str],
    answers: Mapping[str, Answer],
) -> Card:
    counted = _figures(answers[label])
    figures = [
        Figure(
            state.replace("_", " "),
            counted[state],
            _list(f"{label}_{model}", {f"{field}__exact": state, **since}),
        )
        for state in states
        if counted.get(state)
    ]
    return Card(title, figures, "None yet.", answers[label].problem)


def _waiting(answer: Answer) -> Card:
    number = _figures(answer).get("open", 0)
    link = _list("restaurant_ticket", {"state__exact": "open"})
    figures = [Figure("tickets to answer", number, link)] if number else []
    return Card("Waiting for a person", figures, "Nobody has to answer a ticket.", answer.problem)


def _parked(labels: list[str], answers: Mapping[str, Answer]) -> Card:
    figures = [
        Figure(
            label, state.parked, _list(f"{label}_parkedmessage", {"state__exact": "parked"}), True
        )
        for label in labels
        if isinstance(state := answers[label].value, ContextState) and state.parked
    ]
    away = [label for label in labels if answers[label].problem]
    problem = f"Not known for {', '.join(away)}" if away else ""
    return Card("Parked messages", figures, "Nothing is parked.", problem)


def _alarms(answer: Answer) -> Card:
    counted = _figures(answer)
    alarms = [
        Figure(
            "refunds overdue",
            counted.get("alarms", 0),
            _list("ordering_ordersaga", {"attention": "alarm"}),
            True,
        ),
        # Paid for, and nothing times it out or gives the money back until its message is retried.
        Figure(
            "paid, and not followed: parked",
            counted.get("unwatched", 0),
            _list("ordering_parkedmessage", {"state__exact": "parked"}),
            True,
        ),
    ]
    figures = [figure for figure in alarms if figure.number]
    return Card("Saga alarms", figures, "No saga has an alarm.", answer.problem)


def _figures(answer: Answer) -> dict[str, int]:
    return answer.value.figures if isinstance(answer.value, ContextState) else {}


def _list(app_and_model: str, filters: dict[str, str]) -> str:
    return f"{reverse(f'admin:{app_and_model}_changelist')}?{urlencode(filters)}"


def _part(name: str, answer: Answer) -> Health:
    if answer.problem:
        return Health(TITLES[name], answer.problem, "danger")
    if name == "event store":
        return Health(TITLES[name], f"head at {answer.value:,}", "success")
    return Health(TITLES[name], "answers", "success")


def _subscription(one: Progress) -> Health:
    """How far behind the head it is."""
    if one.behind is None:
        return Health(one.name, f"at {one.position:,}; the head is not known", "warning")
    if not one.behind:
        return Health(one.name, "has everything", "success")
    if one.stuck_for is None:
        return Health(one.name, f"{one.behind:,} behind; since when is not known", "warning")
    stuck = timedelta(seconds=int(one.stuck_for.total_seconds()))
    words = f"{one.behind:,} behind, the next one waiting for {stuck}"
    return Health(one.name, words, "info" if stuck < timedelta(minutes=1) else "warning")
