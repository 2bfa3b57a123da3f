"""What a gateway call without an answer means: one message has to wait, or it is an outage."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from eventstore.client import RetryLater, TransientError
from payments.gateways.port import (
    GatewayRefusedCredentials,
    GatewayUnavailable,
    PaymentGateway,
)

SHORTEST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 60.0


class GatewayAway(TransientError):
    """The payment gateway can't be used by anyone at the moment."""


@contextmanager
def translated(gateway: PaymentGateway, waited: timedelta) -> Iterator[None]:
    """Turn the gateway's silence into the subscription's terms.

    A gateway that leaves this call without an answer but answers another question is there: only
    this message has to wait, for as long as it has waited already, so that the pauses double.
    One that answers nothing is away for all messages, and so is one that refuses our credentials.

    Args:
        waited: since the first time that this was asked of the gateway.

    Raises:
        RetryLater: this call has to wait; others need not.
        GatewayAway: nothing can be asked of this gateway.
    """
    try:
        yield
    except GatewayRefusedCredentials as refusal:
        raise GatewayAway("the gateway refuses our API key") from refusal
    except GatewayUnavailable as silence:
        if not _answers(gateway):
            raise GatewayAway(silence.detail) from silence
        delay = max(waited.total_seconds(), silence.retry_after or 0.0)
        bounded = min(max(delay, SHORTEST_DELAY_SECONDS), LONGEST_DELAY_SECONDS)
        raise RetryLater(silence.detail, delay_seconds=bounded) from silence


def _answers(gateway: PaymentGateway) -> bool:
    try:
        gateway.list_movements(limit=1)
    except (GatewayUnavailable, GatewayRefusedCredentials):
        return False
    return True
