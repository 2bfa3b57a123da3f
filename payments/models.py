"""The rows of the payments context: what was asked of the gateway and how it ended."""

from django.db import models

from eventstore.client import models as client
from orders_site.money import Money


class Payment(models.Model):
    """The one payment of an order. Written before the gateway is asked; then it follows the log."""

    class State(models.TextChoices):
        REQUESTED = "requested", "requested"
        DEBITED = "debited", "debited"
        FAILED = "failed", "failed"
        ABANDONED = "abandoned", "abandoned: the order closed first"
        PARTIALLY_REFUNDED = "partially_refunded", "partially refunded"
        REFUNDED = "refunded", "refunded"

    id = models.UUIDField(
        primary_key=True, editable=False, help_text="Also the charge's idempotency key."
    )
    order_id = models.CharField(max_length=255, db_index=True)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=20, choices=State, default=State.REQUESTED)
    provider = models.CharField(max_length=50)
    provider_reference = models.CharField(max_length=255, blank=True)
    code = models.CharField(max_length=100, blank=True)
    reason = models.TextField(blank=True)
    asked_at = models.DateTimeField(help_text="When the gateway was last asked.")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    version = models.BigIntegerField(
        default=0, help_text="The version of the order that this row was last brought up to."
    )

    class Meta:
        ordering = ["-created_at", "id"]
        indexes = [
            models.Index(fields=["state", "asked_at"], name="payment_by_state"),
            models.Index(fields=["created_at", "id"], name="payment_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} for order {self.order_id} ({self.state})"

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)


class Refund(models.Model):
    """Money given back of a payment. Written before the gateway is asked."""

    class State(models.TextChoices):
        REQUESTED = "requested", "requested"
        REFUNDED = "refunded", "refunded"
        REFUSED = "refused", "refused by the provider"

    id = models.UUIDField(
        primary_key=True, editable=False, help_text="Also the refund's idempotency key."
    )
    payment = models.ForeignKey(
        Payment, on_delete=models.PROTECT, related_name="refunds", db_index=True
    )
    order_id = models.CharField(max_length=255, db_index=True)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=20, choices=State, default=State.REQUESTED)
    provider_reference = models.CharField(max_length=255, blank=True)
    code = models.CharField(max_length=100, blank=True)
    reason = models.TextField(blank=True)
    asked_at = models.DateTimeField(help_text="When the gateway was last asked.")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    version = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-created_at", "id"]
        indexes = [
            models.Index(fields=["state", "asked_at"], name="refund_by_state"),
            models.Index(fields=["created_at", "id"], name="refund_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} back for order {self.order_id} ({self.state})"

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)


class LedgerCursor(models.Model):
    """How far the scheduled reconciliation is in the gateway's ledger and in what hangs."""

    ledger = models.CharField(primary_key=True, max_length=50)
    cursor = models.CharField(max_length=255, blank=True)

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.ledger} up to {self.cursor or 'nothing'}"


class Checkpoint(client.Checkpoint):
    """How far the payments subscription is."""


class ParkedMessage(client.ParkedMessage):
    """What the payments subscription could not work on."""
