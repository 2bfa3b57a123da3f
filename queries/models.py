"""The query models' rows: orders with their items, summaries per day, and how far they are."""

import uuid

from django.db import models

from eventstore.client import models as subscriptions
from queries.projections import PAYMENT_STATUSES, STATUSES

DATABASE = "queries"


class OrderRow(models.Model):
    """An `OrderView` as stored; `version` is the last applied, in the log `log_id`."""

    order_id = models.CharField(primary_key=True, max_length=255)
    api_client = models.UUIDField(null=True)
    customer_id = models.CharField(max_length=255)
    restaurant_id = models.CharField(max_length=255)
    status = models.CharField(max_length=20, choices=[(name, name) for name in STATUSES])
    payment_status = models.CharField(
        max_length=20, choices=[(name, name) for name in PAYMENT_STATUSES]
    )
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    created_on = models.DateTimeField()
    updated_at = models.DateTimeField(help_text="When its last event was recorded.")
    reason = models.TextField(blank=True)
    debited_minor = models.BigIntegerField(default=0)
    refunded_minor = models.BigIntegerField(default=0)
    version = models.BigIntegerField()
    position = models.BigIntegerField()
    log_id = models.UUIDField()

    class Meta:
        verbose_name = "order"
        # One index per list that the API and the admin show, each in the order it is shown.
        indexes = [
            models.Index(fields=["-created_on", "-order_id"], name="orderrow_newest"),
            models.Index(
                fields=["api_client", "-created_on", "-order_id"], name="orderrow_by_client"
            ),
            models.Index(
                fields=["api_client", "status", "-created_on", "-order_id"],
                name="orderrow_by_client_status",
            ),
            models.Index(
                fields=["customer_id", "-created_on", "-order_id"], name="orderrow_by_customer"
            ),
            models.Index(
                fields=["restaurant_id", "-created_on", "-order_id"], name="orderrow_by_restaurant"
            ),
            models.Index(fields=["status", "-created_on", "-order_id"], name="orderrow_by_status"),
            models.Index(
                fields=["payment_status", "-created_on", "-order_id"], name="orderrow_by_payment"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.order_id} ({self.status})"


class OrderItemRow(models.Model):
    """One line of an order, counted from 1; written with its order and never changed."""

    pk = models.CompositePrimaryKey("order_id", "line")
    # No constraint: both rows are written in one transaction, the order's first.
    order = models.ForeignKey(
        OrderRow, models.CASCADE, related_name="items", db_index=False, db_constraint=False
    )
    line = models.PositiveIntegerField()
    code = models.TextField()
    name = models.TextField()
    unit_price_minor = models.BigIntegerField()
    quantity = models.BigIntegerField()

    class Meta:
        verbose_name = "order item"

    def __str__(self) -> str:
        return f"{self.quantity} x {self.code}"


class CustomerSummary(models.Model):
    """How many orders of a customer, created on a day (UTC), are in a status now, and their sum.

    A row stays, with zeros, when its orders have moved on to another status.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    customer_id = models.CharField(max_length=255)
    day = models.DateField()
    status = models.CharField(max_length=20)
    currency = models.CharField(max_length=3)
    orders = models.BigIntegerField()
    # Wider than an order's amount: no number of orders makes the sum too large.
    amount_minor = models.DecimalField(max_digits=30, decimal_places=0)

    class Meta:
        verbose_name = "customer summary"
        verbose_name_plural = "customer summaries"
        indexes = [
            models.Index(
                fields=["-day", "-customer_id", "-status", "-currency"],
                name="customersummary_newest",
            )
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["customer_id", "day", "status", "currency"], name="customersummary_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.customer_id} on {self.day}: {self.orders} {self.status}"


class RestaurantSummary(models.Model):
    """How many orders of a restaurant, created on a day (UTC), are in a status now, and their sum.

    A row stays, with zeros, when its orders have moved on to another status.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    restaurant_id = models.CharField(max_length=255)
    day = models.DateField()
    status = models.CharField(max_length=20)
    currency = models.CharField(max_length=3)
    orders = models.BigIntegerField()
    # Wider than an order's amount: no number of orders makes the sum too large.
    amount_minor = models.DecimalField(max_digits=30, decimal_places=0)

    class Meta:
        verbose_name = "restaurant summary"
        verbose_name_plural = "restaurant summaries"
        indexes = [
            models.Index(
                fields=["-day", "-restaurant_id", "-status", "-currency"],
                name="restaurantsummary_newest",
            )
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["restaurant_id", "day", "status", "currency"],
                name="restaurantsummary_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.restaurant_id} on {self.day}: {self.orders} {self.status}"


class Checkpoint(subscriptions.Checkpoint):
    """How far the query models are."""


class ParkedMessage(subscriptions.ParkedMessage):
    """Orders that the query models stopped following."""
