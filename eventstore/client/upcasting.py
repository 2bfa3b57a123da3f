"""Old events in the terms of today: from each schema version of a type's data to the next."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from eventstore.client.errors import UnknownSchemaVersion
from eventstore.client.events import Event, to_json

_FIRST = '"schema_version":1'

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
# Event type -> the step from schema version 1 to 2, that from 2 to 3, and so on. A type that is
# not here has one version only.
Upcasters = Mapping[str, Sequence[Upcaster]]


def upcasted(event: Event, upcasters: Upcasters) -> Event:
    """The event with its data in the newest schema that the reader knows.

    Raises:
        UnknownSchemaVersion: its schema is newer than that, or no version at all.
        ValueError: data or metadata had to be parsed and are not JSON objects.
    """
    steps = upcasters.get(event.event_type, ())
    if not steps and _is_of_first_schema(event.metadata):
        return event
    version = event.context.get("schema_version", 1)
    if type(version) is not int or not 1 <= version <= len(steps) + 1:
        raise UnknownSchemaVersion(
            f"{event.event_type} has schema version {repr(version)[:20]}, "
            f"this program reads up to {len(steps) + 1}"
        )
    if version == len(steps) + 1:
        return event
    # A step may change what it is given, and the event is read again.
    data = deepcopy(event.payload)
    for step in steps[version - 1 :]:
        data = step(data)
    return replace(event, data=to_json(data))


def _is_of_first_schema(metadata: str) -> bool:
    """Whether that is seen without parsing; False if only parsing can tell.

    In a JSON object without backslashes and without objects inside, what stands in quotes before
    a colon is a key of it.
    """
    at = metadata.rfind(_FIRST)
    return (
        at > 0
        and metadata[at + len(_FIRST)] in ",}"
        and metadata.count('"schema_version"') == 1
        and metadata.count("{") == 1
        and "\\" not in metadata
    )
