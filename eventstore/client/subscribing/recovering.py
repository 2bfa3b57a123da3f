"""What a context does when the log came back without its end: rows that show more than the log has
are reset, and its subscriptions go back to before the orders that they belong to.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol
from uuid import UUID

from django.db import models, transaction
from django.utils import timezone

from eventstore.client.events import Event
from eventstore.client.models import Checkpoint, ParkedMessage
from eventstore.client.outages import run_through_conflicts
from eventstore.client.port import EventStore
from eventstore.client.subscribing.parking import OPEN

PAGE = 200
# Of histories that are held at a time.
PORTION_CHARACTERS = 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """A log that goes on under a new id.

    Args:
        before: the ids that it had.
        kept: up to this position it is what it was; what came after that is lost.
        rewind: subscriptions go back to here at least, so that reactions whose events are lost are
            made again.
    """

    store: EventStore
    stream: str
    log_id: UUID
    before: frozenset[UUID]
    kept: int
    rewind: int


@dataclass(frozen=True)
class Reset:
    """A row that showed what the log does not have, and what became of it."""

    aggregate_id: str
    what: str


class Row(Protocol):
    """A row that follows an aggregate by its version; 0 before its first event."""

    pk: Any
    version: int


@dataclass(frozen=True)
class Rows:
    """A context's rows of one kind.

    Args:
        model: with a `version`; walked by primary key.
        aggregate: the name of the column with the aggregate's id.
        reset: called with a row, the aggregate's events and whether the row shows only what was
            kept; puts the row right in the caller's transaction, and says what it did, if anything.
    """

    model: type[models.Model]
    aggregate: str
    reset: Callable[[Any, Sequence[Event], bool], str]


def recover(
    recovered: Recovered,
    *,
    database: str,
    checkpoints: type[Checkpoint],
    parked: type[ParkedMessage],
    rows: Rows,
) -> Iterator[Reset | int]:
    """Reset a context; yields what was reset, and after each page how many rows it had.

    May be stopped at any moment and begun again: the checkpoints take on the log's new id last.
    """
    rewind(recovered, database, checkpoints, recovered.rewind)
    yield from _reset_rows(recovered, database, checkpoints, rows)
    resolve_lost(recovered, database, parked)
    adopt(recovered, database, checkpoints)


def rewind(
    recovered: Recovered, database: str, checkpoints: type[Checkpoint], position: int
) -> None:
    """Have the subscriptions see everything after the position again."""
    _followers(recovered, database, checkpoints).filter(position__gt=position).update(
        position=position, updated_at=timezone.now()
    )


def adopt(
    recovered: Recovered,
    database: str,
    checkpoints: type[Checkpoint],
    position: int | None = None,
) -> None:
    """Have the subscriptions follow the log under its new id; from `position` on, if given."""
    changes = {} if position is None else {"position": position}
    _followers(recovered, database, checkpoints).update(
        log_id=recovered.log_id, updated_at=timezone.now(), **changes
    )


def resolve_lost(recovered: Recovered, database: str, parked: type[ParkedMessage]) -> None:
    """Close what was parked because of events that are lost."""
    parked._default_manager.using(database).filter(
        position__gt=recovered.kept, state__in=OPEN
    ).update(state=ParkedMessage.State.RESOLVED, updated_at=timezone.now())


def _followers(recovered: Recovered, database: str, checkpoints: type[Checkpoint]) -> Any:
    return checkpoints._default_manager.using(database).filter(log_id__in=recovered.before)


def _reset_rows(
    recovered: Recovered, database: str, checkpoints: type[Checkpoint], rows: Rows
) -> Iterator[Reset | int]:
    walked = rows.model._default_manager.using(database).order_by("pk")
    page = list(walked[:PAGE])
    while page:
        for portion, histories in _portions(recovered.store, page, rows.aggregate):

            def reset(portion: Sequence[Any] = portion, histories: Any = histories) -> list[Reset]:
                with transaction.atomic(using=database):
                    done = []
                    for row in portion:
                        history = histories[getattr(row, rows.aggregate)]
                        what = rows.reset(row, history, _is_kept(row, history, recovered.kept))
                        if what:
                            done.append(Reset(getattr(row, rows.aggregate), what))
                    firsts = [histories[each.aggregate_id][:1] for each in done]
                    positions = [event.position for first in firsts for event in first]
                    if positions:
                        rewind(recovered, database, checkpoints, min(positions) - 1)
                    return done

            yield from run_through_conflicts(reset)
        yield len(page)
        page = list(walked.filter(pk__gt=page[-1].pk)[:PAGE])


def _is_kept(row: Row, history: Sequence[Event], kept: int) -> bool:
    """Whether the row's version was reached by events that the log still has."""
    if row.version == 0:
        return True
    return row.version <= len(history) and history[row.version - 1].position <= kept


def _portions(
    store: EventStore, page: Sequence[Any], aggregate: str
) -> Iterator[tuple[list[Any], Mapping[str, list[Event]]]]:
    """The rows of a page, in turn, with their histories: as many as do well in memory together."""
    left: dict[str, list[Any]] = {}
    for row in page:
        left.setdefault(getattr(row, aggregate), []).append(row)
    order = list(left)
    histories: dict[str, list[Event]] = defaultdict(list)
    size = taken = 0
    for id_, events in groupby(
        store.read_many([(id_, 1) for id_ in order]), lambda event: event.aggregate_id
    ):
        histories[id_] = list(events)
        size += sum(len(event.data) + len(event.metadata) for event in histories[id_])
        if size >= PORTION_CHARACTERS:
            end = order.index(id_) + 1
            yield [row for each in order[taken:end] for row in left[each]], histories
            histories, size, taken = defaultdict(list), 0, end
    if taken < len(order):
        yield [row for each in order[taken:] for row in left[each]], histories
