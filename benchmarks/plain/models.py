"""An event table and an outbox. Text instead of JSON columns, which is cheaper, in their favour."""

import uuid

from django.db import models, transaction

from eventstore.client import NewEvent


class PlainEvent(models.Model):
    """One event; no positions, no hashes, no check of what is repeated."""

    id = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField(unique=True, default=uuid.uuid4)
    event_type = models.CharField(max_length=128)
    aggregate_id = models.CharField(max_length=255)
    aggregate_type = models.CharField(max_length=128)
    version = models.BigIntegerField()
    data = models.TextField()
    metadata = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["aggregate_id", "version"], name="plain_once")
        ]

    def __str__(self) -> str:
        return self.event_type


class PlainOutbox(models.Model):
    """What is still to be published, to be deleted or marked by whoever publishes it."""

    id = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField()
    subject = models.CharField(max_length=255)
    payload = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.subject


def append(event: NewEvent, version: int = 1) -> PlainEvent:
    """Store an event and its outbox row, both or none."""
    with transaction.atomic(using="plain"):
        stored = PlainEvent.objects.create(
            event_id=event.event_id,
            event_type=event.event_type,
            aggregate_id=event.aggregate_id,
            aggregate_type=event.aggregate_type,
            version=version,
            data=event.data,
            metadata=event.metadata,
        )
        PlainOutbox.objects.create(
            event_id=event.event_id,
            subject=f"{event.stream}.{event.event_type}",
            payload=event.data,
        )
    return stored
