"""The rows of the restaurant context: the restaurants, and a ticket for each order to be made."""

from django.core.validators import MaxValueValidator, validate_slug
from django.db import models
from django.utils import timezone

from eventstore.client import models as client
from orders_site.money import Money


class Restaurant(models.Model):
    """A restaurant and how it takes orders."""

    id = models.CharField(primary_key=True, max_length=64, validators=[validate_slug])
    name = models.CharField(max_length=200)
    is_open = models.BooleanField(default=True)
    accepts_automatically = models.BooleanField(
        default=False, help_text="Paid orders are approved at once; otherwise a person answers."
    )
    preparation_minutes = models.PositiveSmallIntegerField(
        default=20, validators=[MaxValueValidator(24 * 60)]
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name


class Ticket(models.Model):
    """What a restaurant has to make of a paid order; follows the order's log."""

    class State(models.TextChoices):
        OPEN = "open", "open"
        APPROVED = "approved", "approved"
        REJECTED = "rejected", "rejected"
        SHIPPED = "shipped", "shipped"
        DELIVERED = "delivered", "delivered"
        CLOSED = "closed", "closed: the order was cancelled"

    id = models.UUIDField(primary_key=True, editable=False)
    order_id = models.CharField(max_length=255, unique=True)
    restaurant_id = models.CharField(max_length=64)
    state = models.CharField(max_length=20, choices=State, default=State.OPEN)
    items = models.JSONField(default=list, help_text="code, name and quantity of each item")
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    ready_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True, help_text="why it was rejected or cancelled")
    courier = models.CharField(max_length=200, blank=True)
    received_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    version = models.BigIntegerField(
        default=0, help_text="The version of the order that this row was last brought up to."
    )

    class Meta:
        ordering = ["-created_at", "id"]
        indexes = [
            models.Index(fields=["restaurant_id", "state", "created_at"], name="ticket_queue"),
            models.Index(fields=["state", "created_at"], name="ticket_by_state"),
            models.Index(fields=["created_at", "id"], name="ticket_by_age"),
        ]
        permissions = [
            ("approve_ticket", "Can approve tickets"),
            ("reject_ticket", "Can reject tickets"),
            ("ship_ticket", "Can ship tickets"),
            ("deliver_ticket", "Can deliver tickets"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} of order {self.order_id} ({self.state})"

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)


class Checkpoint(client.Checkpoint):
    """How far the restaurant subscription is."""


class ParkedMessage(client.ParkedMessage):
    """What the restaurant subscription could not work on."""
