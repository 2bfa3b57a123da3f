"""A stream that takes no event any more though its broker answers, as after a full disk."""

import contextlib

import nats.errors
import nats.js.errors
from nats.js import api

from eventstore.client.broker import REQUEST_TIMEOUT_SECONDS, Connection
from eventstore.publishing.hints import SUBJECT

# In a row, at one position, until the stream is believed to be stuck; each takes some 5 seconds.
TIMES = 3
LONGEST_TIMES = 100
PROBE_BYTES = 256 * 1024
PROBES = 8


class Patience:
    """Counts how often an event was sent at the same position and not answered."""

    def __init__(self) -> None:
        self._position = -1
        self._unanswered = 0
        self._enough = TIMES

    def unanswered(self, position: int) -> None:
        """What was sent after this position was not answered."""
        self._unanswered = self._unanswered + 1 if position == self._position else 1
        self._position = position

    def ended(self, position: int) -> bool:
        """Whether nothing has got beyond this position for too long."""
        return position == self._position and self._unanswered >= self._enough

    def begin_again(self) -> None:
        """The stream was made anew; if that does not help, it had better not be done too often."""
        self._unanswered = 0
        self._enough = min(2 * self._enough, LONGEST_TIMES)

    def restore(self) -> None:
        """The stream has all of the log."""
        self._enough = TIMES


async def broker_stores(connection: Connection, stream: str, replicas: int) -> bool:
    """Whether the broker can store some messages in another stream, made for that and deleted.

    A stream that was at work when the disk was full acknowledges nothing until it is made anew or
    the server is restarted; one that is made while the disk is full would be stuck as well.
    """
    name, subject = _probe(stream), f"{SUBJECT}.{stream}.probe"
    try:
        await connection.js.add_stream(
            api.StreamConfig(
                name=name,
                subjects=[subject],
                storage=api.StorageType.FILE,
                num_replicas=replicas,
                max_msgs=PROBES,
            )
        )
        for _ in range(PROBES):
            await connection.js.publish(
                subject, bytes(PROBE_BYTES), stream=name, timeout=REQUEST_TIMEOUT_SECONDS
            )
    except (nats.errors.TimeoutError, nats.js.errors.Error):
        return False
    finally:
        await remove_probe(connection, stream)
    return True


async def remove_probe(connection: Connection, stream: str) -> None:
    """Delete the probe, also one that was left by a publisher that did not come to its end."""
    with contextlib.suppress(nats.errors.Error):
        await connection.js.delete_stream(_probe(stream))


def _probe(stream: str) -> str:
    """No log's stream has a name like that."""
    return f"{stream}~probe"
