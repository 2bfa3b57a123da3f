"""What Celery beat wakes: the signing of checkpoints."""

import logging

from celery import shared_task
from django.conf import settings

from eventstore.client.connection import event_store
from eventstore.client.errors import EventStoreError, TransientError
from eventstore.integrity.signing import KeyUnusable, LogContradicts, Signer

log = logging.getLogger(__name__)


@shared_task(name="eventstore.sign_checkpoint")
def sign_checkpoint() -> None:
    """Sign where each stream of the log stands. May run twice or at once with itself."""
    try:
        signer = Signer.from_settings(event_store())
    except KeyUnusable as problem:
        log.error("%s", problem)
        return
    for stream in settings.EVENTSTORE_STREAMS:
        try:
            signer.sign(stream)
        except LogContradicts as contradiction:
            log.error("%s: run `manage.py verify_log`", contradiction)
        except (EventStoreError, TransientError) as error:
            log.warning("%s: no checkpoint is signed now: %s", stream, error)
        except OSError as error:
            log.error("%s: the checkpoint can't be written: %s", stream, error)
