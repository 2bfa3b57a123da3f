"""The rival of the projector: the same rows through the ORM, a transaction per event."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F

from eventstore.client import Event
from queries.models import CustomerSummary, OrderItemRow, OrderRow, RestaurantSummary
from queries.projections import OrderView, SummaryKey, contribution
from queries.projections import apply as fold

SUMMARIES: Mapping[str, tuple[Any, str]] = {
    "customer": (CustomerSummary, "customer_id"),
    "restaurant": (RestaurantSummary, "restaurant_id"),
}
COLUMNS = [field.attname for field in OrderRow._meta.concrete_fields if field.attname != "log_id"]


def apply(event: Event, log_id: UUID) -> None:
    """Bring the order's row and the summaries up to this event."""
    with transaction.atomic(using="queries"):
        row = OrderRow.objects.select_for_update().filter(pk=event.aggregate_id).first()
        before = OrderView(*(getattr(row, name) for name in COLUMNS)) if row else None
        after = fold(before, event)
        assert after is not None
        columns = {name: getattr(after, name) for name in COLUMNS}
        if row is None:
            OrderRow.objects.create(**columns, log_id=log_id)
            for line, item in enumerate(after.items, start=1):
                OrderItemRow.objects.create(order_id=after.order_id, line=line, **item._asdict())
        else:
            for name, value in columns.items():
                setattr(row, name, value)
            row.save()
        for sign, view in ((-1, before), (1, after)):
            for key, (orders, amount) in contribution(view).items():
                _add(key, sign * orders, sign * amount)


def _add(key: SummaryKey, orders: int, amount: int) -> None:
    model, owner = SUMMARIES[key.kind]
    where = {owner: key.key, "day": key.day, "status": key.status, "currency": key.currency}
    changed = model.objects.filter(**where).update(
        orders=F("orders") + orders, amount_minor=F("amount_minor") + amount
    )
    if not changed:
        model.objects.create(**where, orders=orders, amount_minor=amount)
