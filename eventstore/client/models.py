"""What each subscription keeps in its own context's database: how far it is, and what it parked."""

import uuid

from django.db import models


class Checkpoint(models.Model):
    """All positions up to `position` are applied or parked by the subscription.

    It may trail what the broker knows, since acknowledgements come last; never the other way round.
    """

    subscription = models.CharField(primary_key=True, max_length=100)
    log_id = models.UUIDField(help_text="The log that the position counts in.")
    position = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.subscription} at {self.position}"


class ParkedMessage(models.Model):
    """Where a subscription stopped following an aggregate, and why.

    From the moment it is parked the subscription acknowledges later notices of the aggregate
    without acting on them; a retry applies the log from `from_version` on.
    """

    class State(models.TextChoices):
        FAILING = "failing", "failing, still being retried"
        PARKED = "parked", "parked"
        RETRY = "retry", "retry requested"
        DISCARDED = "discarded", "discarded"
        RESOLVED = "resolved", "resolved"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subscription = models.CharField(max_length=100)
    aggregate_id = models.CharField(max_length=255)
    from_version = models.BigIntegerField()
    event_id = models.CharField(max_length=64, blank=True)
    event_type = models.CharField(max_length=255, blank=True)
    position = models.BigIntegerField(default=0)
    payload = models.TextField(blank=True)
    error = models.TextField()
    traceback = models.TextField(blank=True)
    attempts = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=20, choices=State, default=State.FAILING)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
        ordering = ["-updated_at", "id"]
        indexes = [
            models.Index(fields=["subscription", "state"], name="%(app_label)s_%(class)s_open")
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["subscription", "aggregate_id", "from_version"],
                name="%(app_label)s_%(class)s_once",
            )
        ]
        permissions = [
            ("retry_parkedmessage", "Can retry parked messages"),
            ("discard_parkedmessage", "Can discard parked messages"),
        ]

    def __str__(self) -> str:
        return f"{self.aggregate_id} from version {self.from_version} ({self.state})"
