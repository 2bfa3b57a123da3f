"""The process's one connection to the event store, opened when first used."""

import threading

from eventstore.client.port import EventStore

_lock = threading.Lock()
_store: EventStore | None = None


def event_store() -> EventStore:
    """The event store of the settings (EVENTSTORE_ADDRESS), or the one given to `use`."""
    global _store
    with _lock:
        if _store is None:
            from eventstore.client.remote import RemoteEventStore

            _store = RemoteEventStore.from_settings()
        return _store


def use(store: EventStore | None) -> None:
    """Make `store` the process's event store; None goes back to the settings' one."""
    global _store
    with _lock:
        _store = store
