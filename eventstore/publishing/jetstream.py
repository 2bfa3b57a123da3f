"""The JetStream streams that mirror the log: making, inspecting and dropping them."""

import contextlib
import logging
from typing import Any
from uuid import UUID

import nats.js.errors
from nats.aio.msg import Msg
from nats.js import api

from eventstore.client.broker import REQUEST_TIMEOUT_SECONDS, Connection
from eventstore.client.subscribing.pulling import ConsumerGone, pulling
from eventstore.publishing.agreement import Found, Identity

logger = logging.getLogger(__name__)

LOG_ID = "log_id"
# The first sequence where the stream before this one differed from the log: subscriptions
# that were past it go back, for what they saw there was not the log's event.
REFILLED_FROM = "refilled_from"
# The smallest that the server takes; nothing we publish has a message id to remember.
DUPLICATE_WINDOW_SECONDS = 0.1
INSPECTION_SECONDS = 10.0


async def find(connection: Connection, stream: str) -> api.StreamInfo | None:
    """The stream as the broker has it; None if there is none."""
    try:
        return await connection.js.stream_info(stream)
    except nats.js.errors.NotFoundError:
        return None


def figures(info: api.StreamInfo) -> Found:
    """The facts of a stream that decide whether it is the log's copy."""
    return Found(
        log_id=(info.config.metadata or {}).get(LOG_ID, ""),
        messages=info.state.messages,
        first=info.state.first_seq,
        last=info.state.last_seq,
    )


async def create(
    connection: Connection,
    stream: str,
    log_id: UUID,
    *,
    replicas: int,
    first: int = 1,
    keep: int = 0,
    refilled_from: int | None = None,
) -> None:
    """Make the stream of a log, its messages neither deletable nor purgeable.

    Args:
        first: the position of the first event that will be published to it.
        keep: how many of the last events it keeps; 0: all.
    """
    metadata = {LOG_ID: str(log_id)}
    if refilled_from is not None:
        metadata[REFILLED_FROM] = str(refilled_from)
    await connection.js.add_stream(
        api.StreamConfig(
            name=stream,
            description=f"Notices of the events of log {stream}; refilled from it when lost",
            subjects=[f"{stream}.>"],
            storage=api.StorageType.FILE,
            retention=api.RetentionPolicy.LIMITS,
            first_seq=first,
            **_limits(keep),
            num_replicas=replicas,
            duplicate_window=DUPLICATE_WINDOW_SECONDS,
            deny_delete=True,
            deny_purge=True,
            allow_direct=True,
            metadata=metadata,
        )
    )


async def drop(connection: Connection, seen: api.StreamInfo) -> bool:
    """Delete the stream that was seen; False if somebody else has done so meanwhile."""
    now = await find(connection, seen.config.name or "")
    if now is None or now.created != seen.created:
        return False
    return await connection.js.delete_stream(seen.config.name or "")


def _limits(keep: int) -> dict[str, Any]:
    """Without a limit a full disk must refuse what is new; with one, what is old goes."""
    return {
        "max_msgs": keep or -1,
        "discard": api.DiscardPolicy.OLD if keep else api.DiscardPolicy.NEW,
    }


async def repair_settings(
    connection: Connection, info: api.StreamInfo, replicas: int, keep: int = 0
) -> None:
    """Bring subjects, limits and replicas of our stream back to what they have to be."""
    wanted: dict[str, Any] = {
        "subjects": [f"{info.config.name}.>"],
        "num_replicas": replicas,
        **_limits(keep),
        "max_bytes": -1,
        "max_age": 0,
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
    }
    changed = [name for name, value in wanted.items() if getattr(info.config, name) != value]
    if changed:
        logger.warning("%s: setting back %s of the stream", info.config.name, ", ".join(changed))
        await connection.js.update_stream(info.config.evolve(**wanted))


async def identities(connection: Connection, stream: str, first: int, last: int) -> list[Identity]:
    """Whose events the messages from `first` to `last` claim to be, read without their payload.

    Shorter than asked for when the stream changes meanwhile.
    """
    found = await messages(connection, stream, first, last, headers_only=True)
    return [identity_of(message) for message in found]


async def messages(
    connection: Connection, stream: str, first: int, last: int, *, headers_only: bool = False
) -> list[Msg]:
    """The messages from `first` to `last`; fewer if the stream changes or is trimmed meanwhile."""
    consumer = await connection.js.add_consumer(
        stream,
        api.ConsumerConfig(
            name=f"inspection-{connection.client.new_inbox().rpartition('.')[2]}",
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=first,
            ack_policy=api.AckPolicy.NONE,
            headers_only=headers_only,
            mem_storage=True,
            inactive_threshold=INSPECTION_SECONDS,
        ),
    )
    wanted = last - first + 1
    found: list[Msg] = []
    async with pulling(connection, stream, consumer.name, wanted) as puller:
        with contextlib.suppress(ConsumerGone):
            while not found or found[-1].metadata.sequence.stream < last:
                arrived = await puller.take(wanted - len(found), REQUEST_TIMEOUT_SECONDS)
                if not arrived:
                    break
                found += arrived
    with contextlib.suppress(nats.js.errors.NotFoundError):
        await connection.js.delete_consumer(stream, consumer.name)
    return [message for message in found if message.metadata.sequence.stream <= last]


def identity_of(message: Msg) -> Identity:
    """Whose event a message claims to be."""
    headers = message.headers or {}
    return Identity(
        sequence=message.metadata.sequence.stream,
        event_id=headers.get("ce-id", ""),
        source=headers.get("ce-source", ""),
        position=headers.get("ce-position", ""),
    )
