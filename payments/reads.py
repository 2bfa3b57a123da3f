"""What the consoles may read of payments."""

from collections import Counter
from datetime import datetime

from payments.models import Payment, Refund

MOST = 100


def payments_of(order_id: str) -> list[Payment]:
    """The order's payments, the oldest first; more than one only if its log is damaged."""
    return list(Payment.objects.filter(order_id=order_id).order_by("created_at", "id")[:MOST])


def refunds_of(order_id: str) -> list[Refund]:
    """The order's refunds, the oldest first, at most MOST."""
    return list(Refund.objects.filter(order_id=order_id).order_by("created_at", "id")[:MOST])


def unsettled_payments(asked_before: datetime, limit: int = MOST) -> list[Payment]:
    """Payments whose outcome is not known, last asked about before then; the longest first."""
    requested = Payment.objects.filter(
        state=Payment.State.REQUESTED, asked_at__lt=asked_before
    ).order_by("asked_at", "id")
    return list(requested[:limit])


def counts_by_state(since: datetime, most: int) -> dict[str, int]:
    """How many of the newest `most` payments made since then are in each state."""
    newest = Payment.objects.filter(created_at__gte=since).order_by("-created_at", "-id")
    return dict(Counter(newest.values_list("state", flat=True)[:most]))
