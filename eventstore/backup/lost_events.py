"""The events that a log lost, as far as NATS still has them: for a person to decide about."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nats.aio.msg import Msg

from eventstore.backup.recovery import first_position, lost
from eventstore.backup.stream_copy import Extent, StreamCopy
from eventstore.client.events import to_json
from eventstore.client.notice import BadNotice, Notice, parse
from eventstore.transactions import LogDatabase

BATCH = 500
_HEADERS = ("ce-time", "ce-correlationid", "ce-causationid", "ce-metadata")


@dataclass(frozen=True)
class Lost:
    """How many events are lost, and where the oldest of their aggregates begins in the log."""

    events: int
    oldest: int | None


def report_lost(
    database: LogDatabase, copy: StreamCopy, extent: Extent, kept: int, path: Path
) -> Lost:
    """Write the events that NATS has after `kept` and the log has nowhere, a JSON line each.

    The file replaces one of an earlier run once it is whole.

    Raises:
        OSError: it can't be written.
        Unavailable: the database is away.
    """
    count, oldest = 0, None
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with draft.open("w", encoding="utf-8") as file:
            os.chmod(draft, 0o600)
            for batch in _batches(copy, extent, kept):
                gone = lost(database, [notice.event_id for notice, _ in batch])
                told = [(notice, message) for notice, message in batch if notice.event_id in gone]
                file.writelines(to_json(_line(*each)) + "\n" for each in told)
                count += len(told)
                first = first_position(
                    database, copy.stream, [notice.aggregate_id for notice, _ in told]
                )
                oldest = min(filter(None, (oldest, first)), default=None)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    return Lost(count, oldest)


def _batches(copy: StreamCopy, extent: Extent, kept: int) -> Iterator[list[tuple[Notice, Msg]]]:
    """What the messages after `kept` tell of that are of the stream's log, in lists."""
    source = f"/eventstore/{copy.stream}/{extent.log_id}"
    batch: list[tuple[Notice, Msg]] = []
    for message in copy.messages(kept + 1, extent.last):
        headers, sequence = message.headers or {}, message.metadata.sequence.stream
        if headers.get("ce-source") != source:
            continue
        try:
            notice = parse(copy.stream, message.subject, headers, message.data, sequence)
        except BadNotice:
            continue
        batch.append((notice, message))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _line(notice: Notice, message: Msg) -> dict[str, Any]:
    headers = message.headers or {}
    return {
        "position": notice.position,
        "event_id": str(notice.event_id),
        "event_type": notice.event_type,
        "aggregate_type": notice.aggregate_type,
        "aggregate_id": notice.aggregate_id,
        "version": notice.version,
        **{name.removeprefix("ce-"): headers.get(name, "") for name in _HEADERS},
        "data": message.data.decode(errors="replace"),
    }
