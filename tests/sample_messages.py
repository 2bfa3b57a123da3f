"""The sample messages that bind who publishes an event to who reads it."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from eventstore.client import Event, NewEvent, to_json
from eventstore.client.memory import InMemoryEventStore

FOLDER = Path(__file__).parent / "contract" / "samples"


def sample(context: str, event_type: str) -> dict[str, Any]:
    """The event type as the context publishes it: event_type, data, metadata."""
    return json.loads((FOLDER / context / f"{event_type}.json").read_text())


def samples_of(event_types: set[str]) -> list[dict[str, Any]]:
    """Every context's samples of these types."""
    found = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*/*.json"))]
    return [each for each in found if each["event_type"] in event_types]


def recorded(
    event_type: str,
    data: Any,
    metadata: Any = None,
    event_id: UUID | None = None,
    aggregate_type: str = "order",
) -> Event:
    """The message as a log holds it; `data` may be JSON text that is wrong on purpose."""
    store = InMemoryEventStore()
    event = NewEvent(
        event_id=event_id or uuid4(),
        event_type=event_type,
        aggregate_id="5b2f0b1e-7a53-5a7e-9d0c-1f4f6a0c3d11",
        aggregate_type=aggregate_type,
        data=data if isinstance(data, str) else to_json(data),
        metadata=to_json(metadata or {}),
    )
    store.append([event])
    (stored,) = store.read_aggregate(event.aggregate_id)
    return stored
