"""What a log has to answer, in plain lists and dictionaries; shares no code with a store."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from eventstore.client import (
    Append,
    Appended,
    EventIdConflict,
    EventStoreError,
    InvalidEvent,
    NewEvent,
    VersionConflict,
)


@dataclass
class Model:
    """A log of any streams."""

    streams: dict[str, list[NewEvent]] = field(default_factory=lambda: defaultdict(list))
    aggregates: dict[str, list[NewEvent]] = field(default_factory=lambda: defaultdict(list))
    where: dict[UUID, tuple[int, int]] = field(default_factory=dict)
    by_id: dict[UUID, NewEvent] = field(default_factory=dict)

    def append(self, append: Append) -> Appended | type[EventStoreError]:
        """The right answer; what is accepted is in the model from then on."""
        events = append.events
        known = [self.by_id[event.event_id] for event in events if event.event_id in self.by_id]
        if known:
            same = len(known) == len(events) and all(map(_same, events, known))
            return self._answer(events) if same else EventIdConflict
        history = self.aggregates.get(events[0].aggregate_id, [])
        if history and (history[0].stream, history[0].aggregate_type) != (
            events[0].stream,
            events[0].aggregate_type,
        ):
            return InvalidEvent
        if append.expected_version is not None and append.expected_version != len(history):
            return VersionConflict
        for event in events:
            self.streams[event.stream].append(event)
            self.aggregates[event.aggregate_id].append(event)
            self.by_id[event.event_id] = event
            self.where[event.event_id] = (
                len(self.aggregates[event.aggregate_id]),
                len(self.streams[event.stream]),
            )
        return self._answer(events)

    def _answer(self, events: Sequence[NewEvent]) -> Appended:
        places = [self.where[event.event_id] for event in events]
        versions, positions = zip(*places, strict=True)
        return Appended(versions=versions, positions=positions)


def _same(new: NewEvent, stored: NewEvent) -> bool:
    return replace(new, metadata="") == replace(stored, metadata="")
