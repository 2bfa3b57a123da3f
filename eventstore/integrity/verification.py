"""Whether a log is what it says it is: pure checks over pages of events, heads and signed
checkpoints. Where rows and files come from is `audit.py`'s.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from eventstore.client.events import Event
from eventstore.client.hashing import GENESIS, event_hash
from eventstore.integrity.checkpoints import Line, SignedCheckpoint, Unreadable


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, and the position where it shows; 0 for the stream as a whole."""

    position: int
    what: str


@dataclass(frozen=True)
class Holder:
    """An event that has a certain version of a certain aggregate."""

    stream: str
    position: int
    aggregate_type: str


@dataclass(frozen=True)
class Around:
    """What the log has around a page: `holders` of the versions that `versions_of` names, and the
    positions in the stream of the events that `causes_of` names.
    """

    holders: Mapping[tuple[str, int], Sequence[Holder]]
    causes: Mapping[UUID, int]


@dataclass(frozen=True)
class Tip:
    """How a stream ends, all of one moment: its head row, and the last position with an event."""

    log_id: UUID | None
    position: int
    hash: bytes
    last: int


def causes_of(page: Sequence[Event]) -> list[UUID]:
    """The causes that the events of a page name."""
    found = (_cause(event) for event in page)
    return sorted({cause for cause in found if cause is not None})


def hash_of(event: Event, previous: bytes) -> bytes:
    """The hash that the event must have after one with the hash `previous`."""
    return event_hash(
        previous,
        stream=event.stream,
        position=event.position,
        event_id=event.event_id,
        event_type=event.event_type,
        aggregate_type=event.aggregate_type,
        aggregate_id=event.aggregate_id,
        version=event.version,
        data=event.data,
        metadata=event.metadata,
        recorded_at=event.recorded_at,
    )


class ChainCheck:
    """Checks a stream page by page, in order of position; holds nothing but where it is.

    Args:
        expected: the position that comes first.
        previous: the hash that the log has before it; None if that event is missing.
    """

    def __init__(self, expected: int = 1, previous: bytes | None = GENESIS) -> None:
        self.expected = expected
        self.last_hash = previous
        self.events = 0

    def check(self, page: Sequence[Event], around: Around) -> Iterator[Finding]:
        """What is wrong with the next events."""
        for event in page:
            yield from self._check_place(event)
            yield from _check_version(event, around)
            yield from _check_cause(event, around)
            self.events += 1

    def _check_place(self, event: Event) -> Iterator[Finding]:
        position = event.position
        if position < self.expected:
            yield Finding(position, f"a second event at this position, {event.event_id}")
            return
        if position > self.expected:
            yield missing(self.expected, position - 1)
            self.last_hash = None
        if self.last_hash is not None and event.hash != hash_of(event, self.last_hash):
            yield Finding(
                position,
                f"the hash is not that of this event, {event.event_id}, after the one before it: "
                f"this one was changed, or the one at {position - 1} together with its hash",
            )
        self.expected, self.last_hash = position + 1, event.hash


def missing(first: int, last: int) -> Finding:
    """The events from first to last are not there."""
    if first == last:
        return Finding(first, "the event is missing")
    return Finding(first, f"the events from {first} to {last} are missing")


def check_tip(tip: Tip, last_hash: bytes | None) -> Iterator[Finding]:
    """Whether the head row tells of the last event.

    Args:
        last_hash: that the event at the head's position has; None if it is missing.
    """
    if tip.log_id is None:
        if tip.last:
            yield Finding(0, f"there are events, up to {tip.last}, but no head row")
        return
    if tip.last > tip.position:
        yield Finding(
            tip.position + 1,
            f"events up to {tip.last} beyond the head, which stands at {tip.position}",
        )
    if tip.last < tip.position:
        yield Finding(
            tip.last + 1,
            f"the log ends at {tip.last}, its head stands at {tip.position}: the tail was cut off",
        )
    elif last_hash is not None and last_hash != tip.hash:
        yield Finding(tip.position, "the head's hash is not that of the event it stands at")


class CheckpointCheck:
    """Checks a stream against its signed checkpoints, in the order of their file.

    What is wrong from some position on is told once, however many checkpoints say so. Those from
    before a recovery say nothing about positions that the recovery gave up.

    Args:
        tip: where the stream ends now.
        recoveries: the file's checkpoints that tell of a recovery.
    """

    def __init__(self, tip: Tip, recoveries: Sequence[SignedCheckpoint]) -> None:
        self.agreed = 0
        self.checked = 0
        self._tip = tip
        self._recoveries = recoveries
        self._told: set[str] = set()

    def check(self, line: Line, stored: Mapping[int, bytes]) -> Iterator[Finding]:
        """What one line of the file tells.

        Args:
            stored: the hashes that the log has, by position.
        """
        if isinstance(line, Unreadable):
            what = f"line {line.number} of the signed checkpoints {line.what}"
            if not line.torn:
                yield from self._tell(line.unknown_key or what, 0, what)
            return
        self.checked += 1
        later = [each for each in self._recoveries if each.number > line.number]
        if not later and line.log_id != self._tip.log_id:
            now = f"it is {self._tip.log_id} now" if self._tip.log_id else "there is none now"
            yield from self._tell("log", 0, f"{_when(line)} the log was {line.log_id}, {now}")
        elif all(line.position <= each.kept for each in later):
            yield from self._compare(line, stored.get(line.position))

    def _compare(self, line: SignedCheckpoint, stored: bytes | None) -> Iterator[Finding]:
        if stored == line.hash:
            self.agreed = max(self.agreed, line.position)
        elif line.position > self._tip.last:
            yield from self._tell(
                "tail",
                self._tip.last + 1,
                f"{_when(line)} the log had reached {line.position}, it ends at "
                f"{self._tip.last} now: the tail was cut off",
            )
        elif stored is not None:
            yield from self._tell(
                "rewritten",
                line.position,
                f"{_when(line)} the hash at {line.position} was another one: the log was "
                f"rewritten somewhere after {self.agreed} and up to here",
            )

    def _tell(self, kind: str, position: int, what: str) -> Iterator[Finding]:
        if kind not in self._told:
            self._told.add(kind)
            yield Finding(position, what)


def _when(line: SignedCheckpoint) -> str:
    return f"by the checkpoint signed at {line.signed_at:%Y-%m-%d %H:%M:%S} UTC"


def _check_version(event: Event, around: Around) -> Iterator[Finding]:
    id_, version = event.aggregate_id, event.version
    for other in around.holders.get((id_, version), ()):
        if other != Holder(event.stream, event.position, event.aggregate_type):
            yield Finding(
                event.position, f"version {version} of {id_} stands also at {other.position}"
            )
    if version <= 1:
        if version < 1:
            yield Finding(event.position, f"version {version} of {id_}")
        return
    before = around.holders.get((id_, version - 1), ())
    if not before:
        yield Finding(event.position, f"version {version} of {id_}, but no version {version - 1}")
    for holder in before:
        if (holder.stream, holder.aggregate_type) != (event.stream, event.aggregate_type):
            yield Finding(event.position, f"{id_} is of another type or stream before this event")
        elif holder.position >= event.position:
            yield Finding(
                event.position,
                f"version {version} of {id_} comes before version {version - 1}, "
                f"which is at {holder.position}",
            )


def _check_cause(event: Event, around: Around) -> Iterator[Finding]:
    cause = _cause(event)
    position = around.causes.get(cause, 0) if cause else 0
    if position >= event.position:
        yield Finding(event.position, f"the event comes before its cause, which is at {position}")


def _cause(event: Event) -> UUID | None:
    try:
        named = event.context.get("causation_id")
    except (ValueError, RecursionError):
        return None
    try:
        return UUID(named) if isinstance(named, str) and named else None
    except ValueError:
        return None
