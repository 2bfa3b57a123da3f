"""Verifying the log where it lies: its rows by key, page by page, and its signed checkpoints."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from eventstore import statements
from eventstore.client.events import Event
from eventstore.client.hashing import GENESIS
from eventstore.integrity.checkpoint_file import CheckpointFile
from eventstore.integrity.checkpoints import Line, SignedCheckpoint, Unreadable
from eventstore.integrity.verification import (
    Around,
    ChainCheck,
    CheckpointCheck,
    Finding,
    Holder,
    Tip,
    causes_of,
    check_tip,
    missing,
)
from eventstore.page_size import PageSize
from eventstore.transactions import LogDatabase

MOST_FINDINGS = 1_000
CHECKPOINT_PAGE = 500
LOWEST = -(2**63)
# Head and end in one statement, so that they are of one moment also while events are appended.
_TIP = """
SELECT head.log_id, head.position, head.hash,
    (SELECT max(position) FROM eventstore_event WHERE stream = %s)
FROM (SELECT %s::text AS name) AS wanted
LEFT JOIN eventstore_stream AS head ON head.name = wanted.name
"""
_HEADS = "SELECT name FROM eventstore_stream WHERE name > %s ORDER BY name LIMIT 1"
_STREAMS = "SELECT stream FROM eventstore_event WHERE stream > %s ORDER BY stream LIMIT 1"
_HOLDERS = """
SELECT found.aggregate_id, found.version, found.stream, found.position, found.aggregate_type
FROM unnest(%s::text[], %s::bigint[]) AS wanted (id, version)
CROSS JOIN LATERAL (
    SELECT aggregate_id, version, stream, position, aggregate_type FROM eventstore_event
    WHERE aggregate_id = wanted.id AND version BETWEEN wanted.version - 1 AND wanted.version
    ORDER BY version, position LIMIT 4
) AS found
"""
_CAUSES = "SELECT event_id, position FROM eventstore_event WHERE event_id = ANY(%s) AND stream = %s"
_HASHES = "SELECT position, hash FROM eventstore_event WHERE stream = %s AND position = ANY(%s)"


@dataclass
class Report:
    """What was found in one stream; at most MOST_FINDINGS of it are kept."""

    stream: str
    first: int = 1
    last: int = 0
    log_id: UUID | None = None
    events: int = 0
    checkpoints: int = 0
    vouched: int = 0
    found: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        """Keep a finding, unless there are too many."""
        self.found += 1
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(finding)


def streams_of(database: LogDatabase) -> list[str]:
    """Every stream that has a head row or events."""
    names: set[str] = set()
    for query in (_HEADS, _STREAMS):
        after = ""
        while rows := database.read(partial(_rows, sql=query, parameters=[after])):
            after = rows[0][0]
            names.add(after)
    return sorted(names)


class Audit:
    """One run over one stream; appends may go on meanwhile, what they add is left to the next run.

    Args:
        first: where to begin; the event before is taken as right.
        checkpoints: the stream's signed checkpoints; None to leave them alone.
    """

    def __init__(
        self,
        database: LogDatabase,
        stream: str,
        *,
        first: int = 1,
        checkpoints: CheckpointFile | None = None,
    ) -> None:
        self._database = database
        self._checkpoints = checkpoints
        ((log_id, position, hash_, last),) = self._rows(_TIP, stream, stream)
        self._tip = Tip(log_id, position or 0, bytes(hash_ or b""), last or 0)
        self.report = Report(stream, first, self._tip.last, log_id)

    @property
    def total(self) -> int:
        """How many events there are to be checked."""
        return max(0, self._tip.last - self.report.first + 1)

    def run(self) -> Iterator[Finding | int]:
        """Check everything: yields what is wrong, and after each page the position reached.

        Raises:
            Unavailable: the database is away.
            OSError: the checkpoints can't be read.
        """
        for step in self._steps():
            if isinstance(step, Finding):
                self.report.add(step)
            yield step

    def _steps(self) -> Iterator[Finding | int]:
        yield from self._chain()
        at_head = self._hashes([self._tip.position]).get(self._tip.position)
        yield from check_tip(self._tip, at_head if self._tip.position else GENESIS)
        if self._checkpoints is not None:
            yield from self._compare(self._checkpoints)

    def _chain(self) -> Iterator[Finding | int]:
        first = self.report.first
        previous: bytes | None = GENESIS
        if first > 1:
            previous = self._hashes([first - 1]).get(first - 1)
            if previous is None and self._tip.last >= first:
                yield missing(first - 1, first - 1)
        check = ChainCheck(first, previous)
        for page in self._pages(first if first > 1 else LOWEST):
            yield from check.check(page, self._around(page))
            self.report.events = check.events
            yield page[-1].position

    def _pages(self, position: int) -> Iterator[list[Event]]:
        """The events up to the tip; those that share a position are never cut apart."""
        size = PageSize()
        while position <= self._tip.last:
            limit = size.events + 1
            found = self._database.read(
                partial(
                    statements.page_of_stream,
                    stream=self.report.stream,
                    from_position=position,
                    limit=limit,
                )
            )
            size.learn(found)
            page = [event for event in found if event.position <= self._tip.last]
            ends = len(page) < limit
            if not ends:
                position = page[-1].position
                whole = [event for event in page if event.position < position]
                page, position = (whole, position) if whole else (page, position + 1)
            if page:
                yield page
            if ends:
                return

    def _around(self, page: Sequence[Event]) -> Around:
        holders: defaultdict[tuple[str, int], list[Holder]] = defaultdict(list)
        sound = [(event.aggregate_id, event.version) for event in page if event.version > 0]
        if sound:
            ids, versions = zip(*sound, strict=True)
            for id_, version, *holder in self._rows(_HOLDERS, list(ids), list(versions)):
                if (known := Holder(*holder)) not in holders[id_, version]:
                    holders[id_, version].append(known)
        causes = causes_of(page)
        found = self._rows(_CAUSES, causes, self.report.stream) if causes else []
        return Around(holders, dict(found))

    def _compare(self, file: CheckpointFile) -> Iterator[Finding | int]:
        recoveries = [
            line for line in file.lines() if isinstance(line, SignedCheckpoint) and line.recovery
        ]
        check = CheckpointCheck(self._tip, recoveries)
        lines = (line for line in file.lines() if self._concerns(line))
        while batch := list(islice(lines, CHECKPOINT_PAGE)):
            signed = [line for line in batch if isinstance(line, SignedCheckpoint)]
            hashes = self._hashes([line.position for line in signed])
            for line in batch:
                yield from check.check(line, hashes)
                if isinstance(line, Unreadable) and line.torn:
                    self._note(f"{file.path.name}: line {line.number} {line.what}")
        self.report.checkpoints, self.report.vouched = check.checked, check.agreed

    def _note(self, what: str) -> None:
        if len(self.report.notes) < MOST_FINDINGS:
            self.report.notes.append(f"{what}, as an interrupted write leaves it; it tells nothing")

    def _concerns(self, line: Line) -> bool:
        return isinstance(line, Unreadable) or line.position >= self.report.first - 1

    def _hashes(self, positions: Sequence[int]) -> dict[int, bytes]:
        rows = self._rows(_HASHES, self.report.stream, list(positions))
        return {position: bytes(hash_) for position, hash_ in rows}

    def _rows(self, sql: str, *parameters: Any) -> list[Any]:
        return self._database.read(partial(_rows, sql=sql, parameters=parameters))


def _rows(cursor: CursorWrapper, sql: str, parameters: Sequence[Any]) -> list[Any]:
    cursor.execute(sql, parameters)
    return cursor.fetchall()
