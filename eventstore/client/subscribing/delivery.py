"""What passes between the part of a subscription that speaks NATS and the part that works."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from eventstore.client.notice import Notice


@dataclass(frozen=True, eq=False)
class Delivery:
    """A message of the stream, at `sequence`, as it was delivered, perhaps once more."""

    sequence: int
    subject: str
    headers: Mapping[str, str]
    data: bytes
    redelivered: bool = False


@dataclass(frozen=True)
class Done:
    """The message is dealt with, for ever."""


@dataclass(frozen=True)
class Later:
    """The message is to come back after so many seconds."""

    seconds: float


Verdict = Done | Later
Settle = Callable[[Delivery, Verdict], None]


@dataclass(frozen=True, eq=False)
class Job:
    """A delivered notice that is waiting for its verdict."""

    delivery: Delivery
    notice: Notice
    settle: Callable[[Verdict], None]
