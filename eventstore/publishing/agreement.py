"""Whether a JetStream stream is the log's own copy, and what to do about it: pure decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from eventstore.client.events import StreamHead
from eventstore.client.notice import source_of

# A message of somebody else slips in between those in flight at worst; so this many of the
# last ones are compared, twice what is ever in flight.
TAIL = 1_000


@dataclass(frozen=True)
class Found:
    """What the broker says of a stream."""

    log_id: str
    messages: int
    first: int
    last: int


@dataclass(frozen=True)
class Identity:
    """Whose event a stored message claims to be."""

    sequence: int
    event_id: str
    source: str
    position: str


@dataclass(frozen=True)
class Create:
    """There is no stream yet."""


@dataclass(frozen=True)
class Compare:
    """So far it is right; the messages from `first` to `last` are to be compared with the log."""

    first: int
    last: int


@dataclass(frozen=True)
class Resume:
    """The stream equals the log up to `position`."""

    position: int


@dataclass(frozen=True)
class Refill:
    """The stream is a damaged copy of this log; right up to the sequence before `wrong_from`."""

    reason: str
    wrong_from: int


@dataclass(frozen=True)
class Refuse:
    """It is not for us to touch the stream; the reason says what a person can do."""

    reason: str


def first_wanted(head: StreamHead, keep: int) -> int:
    """Where a stream that is to have the last `keep` events begins at the latest; 0: all."""
    return max(1, head.position - keep + 1) if keep else 1


def judge(
    head: StreamHead, found: Found | None, keep: int = 0
) -> Create | Compare | Resume | Refill | Refuse:
    """What the stream's figures tell, before any message is looked at.

    Args:
        keep: how many of the last events the stream has to have; 0: all. That those before them
            are gone is no damage.
    """
    if found is None:
        return Create()
    if found.log_id != str(head.log_id):
        return Refuse(
            f"the NATS stream {head.stream} belongs to log {found.log_id or '(none named)'}, the "
            f"event store's log is {head.log_id}: point this event store at its own NATS, or "
            f"delete the stream if nobody needs it, and it will be filled again from the log"
        )
    if found.last == 0:
        return Resume(0)
    if found.messages != found.last - found.first + 1:
        return Refill(
            f"it has {found.messages} messages from {found.first} to {found.last}",
            wrong_from=max(1, found.first),
        )
    if found.messages:
        return Compare(max(found.first, found.last - TAIL + 1), found.last)
    return enough(head, found, keep)


def enough(head: StreamHead, found: Found, keep: int) -> Resume | Refill:
    """Whether a stream that is right begins early enough, too."""
    if found.first > first_wanted(head, keep):
        # Nothing in it is wrong: subscriptions read what it lacks from the log.
        return Refill(f"it begins at {found.first}", wrong_from=found.last + 1)
    return Resume(found.last)


def compare(
    head: StreamHead, tail: Sequence[Identity], log: Mapping[int, UUID]
) -> Resume | Refill | Refuse:
    """What the last messages tell.

    Args:
        tail: the stream's last messages in sequence, at least one.
        log: the event ids of the log at those positions, as far as it goes.
    """
    wrong = [
        each
        for each in tail
        if each.sequence not in log or each.event_id != str(log[each.sequence])
    ]
    if not wrong:
        return Resume(tail[-1].sequence)
    genuine = source_of(head.stream, head.log_id)
    for each in wrong:
        if each.source == genuine and each.position == str(each.sequence):
            return Refuse(
                f"the NATS stream {head.stream} has an event of this log at {each.sequence} that "
                f"the log, at {head.position}, does not have: was the database restored to an "
                f"older point? Nothing is published until `manage.py recover_log` has been run, "
                f"or the right database is back"
            )
    first = wrong[0].sequence
    # Where the strangers begin before the tail nobody knows how far back they go.
    return Refill(
        f"the message at {first} is not the log's event",
        wrong_from=1 if wrong[0] is tail[0] else first,
    )
