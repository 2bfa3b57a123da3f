"""The admin's sidebar: the lists by what people come for, each only for those who may see it."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

# Title of the group; of each list: title, icon, app label, model.
GROUPS: tuple[tuple[str, tuple[tuple[str, str, str, str], ...]], ...] = (
    (
        "Orders",
        (
            ("Orders", "receipt_long", "queries", "orderrow"),
            ("Payments", "payments", "payments", "payment"),
            ("Refunds", "currency_exchange", "payments", "refund"),
            ("Tickets", "skillet", "restaurant", "ticket"),
            ("Sagas", "route", "ordering", "ordersaga"),
        ),
    ),
    (
        "Summaries",
        (
            ("Customers", "person", "queries", "customersummary"),
            ("Restaurants", "storefront", "queries", "restaurantsummary"),
        ),
    ),
    (
        "Event log",
        (
            ("Events", "database", "eventstore", "storedevent"),
            ("Streams", "water", "eventstore", "streamhead"),
        ),
    ),
    (
        "Parked messages",
        (
            ("Ordering", "report", "ordering", "parkedmessage"),
            ("Payments", "report", "payments", "parkedmessage"),
            ("Restaurant", "report", "restaurant", "parkedmessage"),
            ("Queries", "report", "queries", "parkedmessage"),
        ),
    ),
    (
        "Administration",
        (
            ("Restaurants", "restaurant", "restaurant", "restaurant"),
            ("API clients", "key", "ordering", "apiclient"),
            ("Users", "group", "auth", "user"),
            ("Groups", "groups", "auth", "group"),
            ("Audit log", "history", "admin", "logentry"),
        ),
    ),
)


def _is_active(path: str, label: str, model: str) -> bool:
    if model == "orderrow" and path.startswith(reverse("admin:index") + "orders/"):
        return True
    return path.startswith(reverse(f"admin:{label}_{model}_changelist"))


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """UNFOLD's SIDEBAR navigation for this user."""
    groups = [{"items": [{"title": "Today", "icon": "dashboard", "link": reverse("admin:index")}]}]
    for title, lists in GROUPS:
        items = [
            {
                "title": name,
                "icon": icon,
                "link": reverse(f"admin:{label}_{model}_changelist"),
                "active": _is_active(request.path, label, model),
            }
            for name, icon, label, model in lists
            if request.user.has_perm(f"{label}.view_{model}")
        ]
        if items:
            groups.append({"title": title, "items": items})  # type: ignore[dict-item]
    return groups
