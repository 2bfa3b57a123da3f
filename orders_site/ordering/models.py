"""Ordering's rows: who may call the API, where each saga is, how far its subscription is."""

import hashlib
import re
import secrets
import uuid

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import IntegrityError, models

from eventstore.client import models as subscription_models
from orders_site.ordering.saga import Step

TOKEN_PREFIX = "ord_"  # noqa: S105 - what tokens start with, so that leaked ones can be searched for
_TOKEN = re.compile(TOKEN_PREFIX + r"[A-Za-z0-9_-]{43}")


class ApiClient(models.Model):
    """A program that may call the REST API; its orders are its own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(
        max_length=100,
        unique=True,
        validators=[
            RegexValidator(
                "^[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+\\Z", "A name has no control characters."
            ),
        ],
    )
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    # What Django and DRF ask of whoever calls.
    is_authenticated = True
    is_anonymous = False

    class Meta:
        verbose_name = "API client"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def issue(cls, name: str) -> tuple["ApiClient", str]:
        """A new client and its token, which is stored nowhere.

        Raises:
            ValidationError: the name is empty, taken, too long or has control characters.
        """
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        client = cls(name=name, token_hash=_hash(token))
        client.full_clean()
        try:
            client.save(force_insert=True)
        except IntegrityError:
            raise ValidationError("Another API client took the name just now.") from None
        return client, token

    @classmethod
    def authenticate(cls, token: str) -> "ApiClient | None":
        """The active client whose token this is."""
        hashed = token_hash(token)
        return cls.with_token_hash(hashed) if hashed else None

    @classmethod
    def with_token_hash(cls, hashed: str) -> "ApiClient | None":
        """The active client whose token has this hash."""
        return cls.objects.filter(token_hash=hashed, is_active=True).order_by().first()


def token_hash(token: str) -> str | None:
    """The hash that a client's row has of its token; None for a text that can't be a token."""
    return _hash(token) if _TOKEN.fullmatch(token) else None


def _hash(token: str) -> str:
    # 32 random bytes can't be guessed, so a plain hash keeps them safe and lookups fast.
    return hashlib.sha256(token.encode()).hexdigest()


class OrderSaga(models.Model):
    """Where the saga of one order is: a fold of the order's events, for the sweep and for people.

    `deadline` is when the sweep looks at it next, null when nothing is due.
    """

    order_id = models.CharField(primary_key=True, max_length=255)
    state = models.CharField(
        max_length=20, choices=[(step.value, step.replace("-", " ")) for step in Step]
    )
    order_status = models.CharField(max_length=20)
    reason = models.TextField(blank=True)
    deadline = models.DateTimeField(null=True)
    alarm = models.TextField(blank=True)
    version = models.BigIntegerField(help_text="Version of the order that this row shows.")
    log_id = models.UUIDField(help_text="The log that the version counts in.")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name = "order saga"
        ordering = ["-updated_at", "order_id"]
        indexes = [
            models.Index(fields=["deadline", "state"], name="ordersaga_due"),
            models.Index(fields=["-updated_at", "order_id"], name="ordersaga_recent"),
        ]
        permissions = [
            ("view_all_orders", "Can see the orders of all API clients"),
            ("cancel_order", "Can cancel orders"),
        ]

    def __str__(self) -> str:
        return f"{self.order_id}: {self.state}"


class Checkpoint(subscription_models.Checkpoint):
    """How far ordering's subscription is."""


class ParkedMessage(subscription_models.ParkedMessage):
    """What ordering's subscription parked."""

    class Meta(subscription_models.ParkedMessage.Meta):
        pass
