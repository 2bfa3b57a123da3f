"""The log's two tables: the heads of streams and the events. `store.py` is their only writer."""

from django.db import models

from eventstore.client.validation import MAX_AGGREGATE_ID_LENGTH, MAX_TYPE_LENGTH


class StreamHead(models.Model):
    """Where a stream stands. An append locks this row first, so it is what orders the log."""

    name = models.CharField(primary_key=True, max_length=64)
    log_id = models.UUIDField(
        help_text="Names this log, as opposed to another one or a restored one."
    )
    position = models.BigIntegerField(help_text="Of the last event; 0 while there is none.")
    hash = models.BinaryField(help_text="Of the last event; zeros while there is none.")

    class Meta:
        db_table = "eventstore_stream"
        verbose_name = "stream"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.name} at {self.position}"


class StoredEvent(models.Model):
    """One event. A trigger refuses every UPDATE and DELETE of these rows.

    `data` and `metadata` are text, not JSON, so that they come back byte for byte.
    """

    event_id = models.UUIDField(primary_key=True)
    event_type = models.CharField(max_length=MAX_TYPE_LENGTH)
    aggregate_id = models.CharField(max_length=MAX_AGGREGATE_ID_LENGTH)
    aggregate_type = models.CharField(max_length=MAX_TYPE_LENGTH)
    data = models.TextField()
    metadata = models.TextField()
    stream = models.CharField(max_length=64)
    version = models.BigIntegerField()
    position = models.BigIntegerField()
    recorded_at = models.DateTimeField()
    hash = models.BinaryField()

    class Meta:
        db_table = "eventstore_event"
        verbose_name = "event"
        default_permissions = ("view",)
        ordering = ["stream", "-position"]
        constraints = [
            models.UniqueConstraint(
                fields=["stream", "position"], name="eventstore_one_per_position"
            ),
            models.UniqueConstraint(
                fields=["aggregate_id", "version"], name="eventstore_one_per_version"
            ),
        ]
        # Each index costs every append; these two serve the filters of the admin.
        indexes = [
            models.Index(fields=["event_type", "position"], name="eventstore_event_by_type"),
            models.Index(fields=["recorded_at"], name="eventstore_event_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} at {self.position}"
