"""Why the event store refuses, one class per reason; the docstring is the message."""


class EventStoreError(Exception):
    """The event store refused the call."""

    def __str__(self) -> str:
        return super().__str__() or (self.__doc__ or "").partition("\n")[0]


class TransientError(Exception):
    """Something that we need is away for the moment; the same call may succeed later.

    Whatever a subscription's handler raises of this class counts as an outage and never as a
    fault of the message.
    """


class RetryLater(TransientError):
    """This message can't be worked on yet; others can. It comes back later, uncounted."""

    def __init__(self, message: str = "", *, delay_seconds: float = 5.0) -> None:
        super().__init__(message)
        self.delay_seconds = delay_seconds


class UnknownSchemaVersion(Exception):
    """The event's schema is newer than this program."""


class InvalidEvent(EventStoreError):
    """The event is malformed, or larger than the log takes."""


class UnknownStream(EventStoreError):
    """There is no such stream."""


class VersionConflict(EventStoreError):
    """The aggregate is not at the expected version."""

    def __init__(self, message: str = "", *, actual_version: int | None = None) -> None:
        super().__init__(message)
        self.actual_version = actual_version


class TooManyEvents(EventStoreError):
    """The aggregate would have, or has, more events than one may have; repeating won't help."""


class EventIdConflict(EventStoreError):
    """An event with this id and other content is stored already."""


class ResultTooLarge(EventStoreError):
    """The answer has more events than one reply may carry; stream them instead."""


class Overloaded(EventStoreError, TransientError):
    """The event store has more work than it takes on; try again later."""


class Unavailable(EventStoreError, TransientError):
    """The event store, or its database, can't be reached; if the call took effect is unknown."""
