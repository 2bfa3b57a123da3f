"""Tying a subscription to its stream: whose log it is, where to begin, the durable consumer."""

import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import nats.js.errors
from nats.js import api

from eventstore.client.broker import Connection
from eventstore.client.errors import TransientError
from eventstore.client.models import Checkpoint
from eventstore.client.notice import subject_of
from eventstore.client.subscribing.checkpointing import Checkpoints
from eventstore.client.subscription import Reactor, Subscription

logger = logging.getLogger("eventstore.subscriber")

T = TypeVar("T")
InThread = Callable[[Callable[[], T]], Awaitable[T]]

ACK_WAIT_SECONDS = 15.0
MAX_ACK_PENDING = 1_000


class NotYet(TransientError):
    """What the subscription reads from is not there yet."""


class SubscriptionRefused(Exception):
    """The subscription can't follow this stream until a person has decided something."""


@dataclass(frozen=True)
class Binding:
    """A subscription's place at the broker; `created` tells its stream from one made later."""

    log_id: UUID
    consumer: str
    created: datetime | None


async def bind(connection: Connection, subscription: Subscription, in_thread: InThread) -> Binding:
    """Find the durable consumer, or make it, from the checkpoint on.

    Args:
        in_thread: runs what touches the database or the event store.

    Raises:
        NotYet: the stream is missing, or not of the event store's log; the publisher sees to it.
        SubscriptionRefused: the log is not the one that the checkpoint counts in.
    """
    try:
        stream = await connection.js.stream_info(subscription.stream)
    except nats.js.errors.NotFoundError:
        raise NotYet(f"the NATS stream {subscription.stream} is not there yet") from None
    metadata = stream.config.metadata or {}
    log_id = _log_id(subscription, metadata)
    checkpoint = await in_thread(lambda: _checkpoint(subscription, log_id))
    after = checkpoint.position
    try:
        info = await connection.js.consumer_info(subscription.stream, subscription.name)
        if _is_stale(info, checkpoint):
            await connection.js.delete_consumer(subscription.stream, subscription.name)
            await _create(connection, subscription, after + 1, stream)
        else:
            await _follow_types(connection, subscription, info.config)
    except nats.js.errors.NotFoundError:
        # Its first on this stream: what it saw of the one before may not have been the log.
        wrong_from = metadata.get("refilled_from", "")
        if wrong_from.isdigit() and int(wrong_from) <= after:
            after = int(wrong_from) - 1
            await in_thread(lambda: Checkpoints(subscription).rewind(log_id, after))
        await _create(connection, subscription, after + 1, stream)
    return Binding(log_id, subscription.name, stream.created)


def _is_stale(info: api.ConsumerInfo, checkpoint: Checkpoint) -> bool:
    """Whether the durable that the last worker left is better made anew from the checkpoint.

    It is when it is ahead of the checkpoint (a second's work of a killed worker; or the context's
    database was restored, and all since then has to come again), and when it still waits for
    acknowledgements that a killed worker can't send. A durable that others pull from is theirs.
    """
    floor = info.ack_floor.stream_seq if info.ack_floor else 0
    left = floor > checkpoint.position or bool(info.num_ack_pending)
    return left and not info.num_waiting


def _log_id(subscription: Subscription, metadata: dict[str, str]) -> UUID:
    try:
        return UUID(metadata.get("log_id", ""))
    except ValueError:
        raise NotYet(f"the NATS stream {subscription.stream} names no log") from None


def _checkpoint(subscription: Subscription, log_id: UUID) -> Checkpoint:
    """The subscription's checkpoint, made at its first start; refuses another log's stream."""
    checkpoints = Checkpoints(subscription)
    checkpoint = checkpoints.read()
    if checkpoint is not None and checkpoint.log_id != log_id:
        raise SubscriptionRefused(
            f"{subscription.name} has followed log {checkpoint.log_id} up to "
            f"{checkpoint.position}, the NATS stream {subscription.stream} is of log {log_id}: "
            f"was the event store's database replaced? Bring the right one back, or run "
            f"`manage.py recover_log`"
        )
    head = subscription.store.head(subscription.stream)
    if head.log_id != log_id:
        raise NotYet(
            f"the NATS stream {subscription.stream} is of log {log_id}, the event store's is "
            f"{head.log_id}"
        )
    if checkpoint is not None and checkpoint.position > head.position:
        raise SubscriptionRefused(
            f"{subscription.name} has followed the log up to {checkpoint.position}, the event "
            f"store has only {head.position}: was its database restored to an older point? "
            f"Bring the right one back, or run `manage.py recover_log`"
        )
    return checkpoint or checkpoints.begin(log_id)


def _filter(subscription: Subscription) -> list[str] | None:
    match subscription.handler:
        case Reactor(reactions):
            return sorted({subject_of(subscription.stream, name) for name in reactions})
        case _:
            return None


async def _create(
    connection: Connection, subscription: Subscription, start: int, seen: api.StreamInfo
) -> None:
    logger.info("%s: new consumer, from position %d on", subscription.worker, start)
    config = api.ConsumerConfig(
        name=subscription.name,
        durable_name=subscription.name,
        deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=start,
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_SECONDS,
        max_deliver=-1,
        max_ack_pending=MAX_ACK_PENDING,
        filter_subjects=_filter(subscription),
    )
    try:
        await connection.js.add_consumer(subscription.stream, config)
    except nats.js.errors.APIError:
        # Another worker was faster, from a checkpoint a little older or newer: take its consumer.
        await connection.js.consumer_info(subscription.stream, subscription.name)
    if (await connection.js.stream_info(subscription.stream)).created != seen.created:
        # Whether to go back was decided by what the stream before this one said.
        await connection.js.delete_consumer(subscription.stream, subscription.name)
        raise NotYet(f"the NATS stream {subscription.stream} was made anew meanwhile")


async def _follow_types(
    connection: Connection, subscription: Subscription, config: api.ConsumerConfig
) -> None:
    """Have the broker send the types that this version of the program reacts to."""
    wanted = _filter(subscription)
    present = config.filter_subjects or ([config.filter_subject] if config.filter_subject else None)
    if wanted != (sorted(present) if present else None):
        logger.warning("%s: now follows %s", subscription.worker, wanted or "all types")
        changed = config.evolve(filter_subject=None, filter_subjects=wanted)
        with contextlib.suppress(nats.js.errors.BadRequestError):
            await connection.js.add_consumer(subscription.stream, changed)
