"""Reading and moving a subscription's checkpoint, in its own database."""

from uuid import UUID

from django.utils import timezone

from eventstore.client.models import Checkpoint
from eventstore.client.subscription import Subscription


class Checkpoints:
    """The one row of a subscription; its workers share it."""

    def __init__(self, subscription: Subscription) -> None:
        self._name = subscription.name
        self._rows = subscription.checkpoints._default_manager.using(subscription.database)

    def read(self) -> Checkpoint | None:
        """The row; None before the subscription's very first start."""
        return self._rows.filter(pk=self._name).first()

    def begin(self, log_id: UUID) -> Checkpoint:
        """The row, made at position 0 of the log if there is none."""
        return self._rows.get_or_create(pk=self._name, defaults={"log_id": log_id})[0]

    def advance(self, log_id: UUID, position: int) -> None:
        """All positions up to this one are applied or parked; never moves back."""
        self._rows.filter(pk=self._name, log_id=log_id, position__lt=position).update(
            position=position, updated_at=timezone.now()
        )

    def rewind(self, log_id: UUID, position: int) -> None:
        """What the stream showed beyond this position was not the log's: see it again."""
        self._rows.filter(pk=self._name, log_id=log_id, position__gt=position).update(
            position=position, updated_at=timezone.now()
        )
