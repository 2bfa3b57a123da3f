"""What the consoles may read of payments."""

from collections import Counter
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from payments.models import Payment, Refund

MOST = 100


def payments_of(order_id: str) -> list[Payment]:
    """The order's payments, the oldest first; more than one only if its log is damaged."""
    return list(Payment.objects.filter(order_id=order_id).order_by("created_at", "id")[:MOST])


def refunds_of(order_id: str) -> list[Refund]:
    """The order's refunds, the oldest first, at most MOST."""
    return list(Refund.objects.filter(order_id=order_id).order_by("created_at", "id")[:MOST])


def unsettled_payments(
    asked_before: datetime, limit: int = MOST, after: tuple[datetime, UUID] | None = None
) -> list[Payment]:
    """Payments whose outcome is not known, last asked about before then; the longest first.

    Args:
        after: `asked_at` and id of the payment before the first one wanted.
    """
    requested = Payment.objects.filter(
        state=Payment.State.REQUESTED, asked_at__lt=asked_before
    ).order_by("asked_at", "id")
    if after is not None:
        asked_at, id_ = after
        requested = requested.filter(asked_at__gte=asked_at).exclude(asked_at=asked_at, id__lte=id_)
    return list(requested[:limit])


def holding_money(order_ids: Collection[str]) -> int:
    """How many of these orders have a payment that was taken and not all given back."""
    held = [Payment.State.DEBITED, Payment.State.PARTIALLY_REFUNDED]
    return Payment.objects.filter(order_id__in=order_ids, state__in=held).count()


def counts_by_state(since: datetime, most: int) -> dict[str, int]:
    """How many of the newest `most` payments made since then are in each state."""
    newest = Payment.objects.filter(created_at__gte=since).order_by("-created_at", "-id")
    return dict(Counter(newest.values_list("state", flat=True)[:most]))
