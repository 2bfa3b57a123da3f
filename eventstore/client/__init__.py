"""What contexts import of the event store: its port, its errors, its events, and `execute`."""

from eventstore.client.errors import (
    EventIdConflict,
    EventStoreError,
    InvalidEvent,
    Overloaded,
    ResultTooLarge,
    RetryLater,
    TooManyEvents,
    TransientError,
    Unavailable,
    UnknownSchemaVersion,
    UnknownStream,
    VersionConflict,
)
from eventstore.client.events import (
    DEFAULT_STREAM,
    Event,
    NewEvent,
    StreamHead,
    metadata_for,
    reaction_id,
    to_json,
)
from eventstore.client.execute import Executed, execute
from eventstore.client.port import Append, Appended, EventStore

__all__ = [
    "DEFAULT_STREAM",
    "Append",
    "Appended",
    "Event",
    "EventIdConflict",
    "EventStore",
    "EventStoreError",
    "Executed",
    "InvalidEvent",
    "NewEvent",
    "Overloaded",
    "ResultTooLarge",
    "RetryLater",
    "StreamHead",
    "TooManyEvents",
    "TransientError",
    "Unavailable",
    "UnknownSchemaVersion",
    "UnknownStream",
    "VersionConflict",
    "execute",
    "metadata_for",
    "reaction_id",
    "to_json",
]
