"""Putting events back that a log lost and NATS still has: a message has all of its event, so the
chain of hashes comes out as it was.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from eventstore import statements
from eventstore.backup.importing import add
from eventstore.backup.recovery import batches
from eventstore.backup.stream_copy import Extent, StreamCopy
from eventstore.client.events import Event, StreamHead
from eventstore.client.notice import BadNotice, event_of, source_of
from eventstore.integrity.checkpoints import Line, SignedCheckpoint
from eventstore.integrity.verification import hash_of
from eventstore.transactions import LogDatabase


class NotRestorable(Exception):
    """What NATS has does not follow on the log; in words for the operator."""


def restorable(copy: StreamCopy, extent: Extent, head: StreamHead, signed: Iterable[Line]) -> int:
    """Up to which position NATS has what comes after the head; the head's own if it has nothing.

    Args:
        signed: the log's signed checkpoints; what NATS has must agree with them.

    Raises:
        NotRestorable: it does not.
    """
    last = head.position
    vouchers = _vouchers(signed, extent, last)
    voucher = next(vouchers, None)
    for event in _chained(copy, extent, head):
        while voucher is not None and voucher.position < event.position:
            voucher = next(vouchers, None)
        if voucher is not None and voucher.position == event.position:
            _compare(event, voucher)
        last = event.position
    return last


def restore(
    database: LogDatabase,
    copy: StreamCopy,
    extent: Extent,
    head: StreamHead,
    told: Callable[[int], object],
) -> StreamHead:
    """Put back what NATS has after the head; the head after that. May be stopped and begun again.

    Raises:
        NotRestorable: an aggregate's versions do not follow; what came before is put back.
        LogMoved: somebody else appends.
        Unavailable: the database is away.
    """
    for events in batches(_chained(copy, extent, head)):
        head = database.commit(partial(_put_back, before=head, events=events))
        told(head.position)
    return head


def _chained(copy: StreamCopy, extent: Extent, head: StreamHead) -> Iterator[Event]:
    """What the messages after the head tell of, up to the first that is not of the log."""
    source, before = source_of(copy.stream, UUID(extent.log_id)), head.hash
    position = head.position
    for message in copy.messages(head.position + 1, extent.last):
        headers, sequence = message.headers or {}, message.metadata.sequence.stream
        if headers.get("ce-source") != source or sequence != position + 1:
            return
        try:
            event = event_of(copy.stream, message.subject, headers, message.data, sequence)
        except BadNotice:
            return
        yield (event := replace(event, hash=hash_of(event, before)))
        before, position = event.hash, event.position


def _compare(event: Event, voucher: SignedCheckpoint) -> None:
    if voucher.hash != event.hash:
        raise NotRestorable(
            f"the event that NATS has at {event.position} is not what was signed at "
            f"{voucher.signed_at:%Y-%m-%d %H:%M:%S} UTC"
        )


def _vouchers(signed: Iterable[Line], extent: Extent, after: int) -> Iterator[SignedCheckpoint]:
    return (
        line
        for line in signed
        if isinstance(line, SignedCheckpoint)
        and str(line.log_id) == extent.log_id
        and line.position > after
    )


def _put_back(cursor: CursorWrapper, before: StreamHead, events: Sequence[Event]) -> StreamHead:
    statements.head(cursor, before.stream, lock=True)
    tips = statements.tips(cursor, {event.aggregate_id for event in events})
    versions = {id_: tip.version for id_, tip in tips.items()}
    for event in events:
        if event.version <= versions.get(event.aggregate_id, 0):
            break  # run again: they are there
        if event.version != versions.get(event.aggregate_id, 0) + 1:
            raise NotRestorable(
                f"version {event.version} of {event.aggregate_id} at {event.position} follows on "
                f"nothing that the log has"
            )
        versions[event.aggregate_id] = event.version
    return add(cursor, before, events)
