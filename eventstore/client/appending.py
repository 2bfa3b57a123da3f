"""What becomes of a batch of appends: the pure rule that every implementation follows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from eventstore.client.errors import (
    EventIdConflict,
    EventStoreError,
    InvalidEvent,
    TooManyEvents,
    VersionConflict,
)
from eventstore.client.events import Event, NewEvent, StreamHead
from eventstore.client.hashing import event_hash
from eventstore.client.port import Append, Appended

# Reactions to each of its events take an aggregate whole: that work grows with the square.
MAX_EVENTS_PER_AGGREGATE = 1_000


@dataclass(frozen=True)
class AggregateTip:
    """Where an aggregate stands, and the one stream and type that it belongs to."""

    stream: str
    aggregate_type: str
    version: int


@dataclass(frozen=True)
class Plan:
    """The outcome of each append, the events to insert, and where head and aggregates are then."""

    outcomes: list[Appended | EventStoreError]
    events: list[Event]
    head: StreamHead
    tips: Mapping[str, AggregateTip]


def plan(
    appends: Sequence[Append],
    *,
    stored: Mapping[UUID, Event],
    tips: Mapping[str, AggregateTip],
    head: StreamHead,
    now: datetime,
    most: int | None = None,
) -> Plan:
    """Decide every append of a batch in turn, each seeing those before it.

    Args:
        appends: valid (see `validation`), all of the head's stream.
        stored: the events that the log has under any of the batch's event ids.
        tips: the aggregates of the batch that the log knows, by id.
        head: the head of the stream, locked by the caller.
        now: becomes `recorded_at` of the new events.
        most: events that an aggregate may have; None: any number, for the log's own.
    """
    known, current = dict(stored), dict(tips)
    outcomes: list[Appended | EventStoreError] = []
    new: list[Event] = []
    position, tip = head.position, head.hash
    for append in appends:
        try:
            events = _decide(append, known, current, position, tip, now, most)
        except EventStoreError as refusal:
            outcomes.append(refusal)
            continue
        outcomes.append(
            Appended(
                versions=tuple(event.version for event in events),
                positions=tuple(event.position for event in events),
            )
        )
        if events[-1].position > position:
            last = events[-1]
            new.extend(events)
            known.update((event.event_id, event) for event in events)
            current[last.aggregate_id] = AggregateTip(
                last.stream, last.aggregate_type, last.version
            )
            position, tip = last.position, last.hash
    head = replace(head, position=position, hash=tip)
    return Plan(outcomes, new, head, current)


def _decide(
    append: Append,
    known: Mapping[UUID, Event],
    current: Mapping[str, AggregateTip],
    position: int,
    previous: bytes,
    now: datetime,
    most: int | None,
) -> list[Event]:
    """The stored events of a repeated append, or the new ones; raises what refuses it."""
    earlier = [known.get(event.event_id) for event in append.events]
    if any(earlier):
        return _repeated(append.events, earlier)
    first = append.events[0]
    tip = current.get(first.aggregate_id)
    if tip is None:
        tip = AggregateTip(first.stream, first.aggregate_type, 0)
    elif (tip.stream, tip.aggregate_type) != (first.stream, first.aggregate_type):
        raise InvalidEvent("the aggregate belongs to another stream or has another type")
    if append.expected_version not in (None, tip.version):
        raise VersionConflict(
            f"expected version {append.expected_version}, the aggregate is at {tip.version}",
            actual_version=tip.version,
        )
    if most is not None and tip.version + len(append.events) > most:
        raise TooManyEvents(f"the aggregate has {tip.version} events and may have {most}")
    events: list[Event] = []
    for offset, event in enumerate(append.events, start=1):
        events.append(_record(event, tip.version + offset, position + offset, previous, now))
        previous = events[-1].hash
    return events


def _repeated(new: Sequence[NewEvent], earlier: Sequence[Event | None]) -> list[Event]:
    events = [event for event in earlier if event is not None]
    if len(events) < len(new):
        raise EventIdConflict("some of the events are stored already, others are not")
    if not all(map(same_content, new, events)):
        raise EventIdConflict
    return events


def same_content(new: NewEvent, stored: Event) -> bool:
    """Whether a repeated event id means the same fact: type, aggregate and data, not metadata."""
    return (
        new.event_type == stored.event_type
        and new.aggregate_id == stored.aggregate_id
        and new.aggregate_type == stored.aggregate_type
        and new.stream == stored.stream
        and new.data == stored.data
    )


def _record(event: NewEvent, version: int, position: int, previous: bytes, now: datetime) -> Event:
    fields = {**vars(event), "version": version, "position": position, "recorded_at": now}
    return Event(**fields, hash=event_hash(previous, **fields))
