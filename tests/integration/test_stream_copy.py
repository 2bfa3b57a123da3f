"""What a NATS stream that keeps only its last messages tells of a log that it may be a copy of."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from eventstore.backup.stream_copy import Extent, StreamCopy, stream_copy
from eventstore.client.memory import InMemoryEventStore
from eventstore.publishing.jetstream import identities
from tests.integration.broker import STREAM, Broker
from tests.integration.messaging import Publish, fill
from tests.together import eventually

pytest_plugins = ["tests.integration.messaging"]
pytestmark = pytest.mark.usefixtures("impatient")

KEEP, LENGTH = 10, 150


@pytest.fixture
def trimmed(broker: Broker, log: InMemoryEventStore, publish: Publish) -> Iterator[StreamCopy]:
    """A stream of the log `log` that has only its last events."""
    fill(log, LENGTH)
    publisher = publish(keep=KEEP)
    eventually(lambda: broker.last() == LENGTH)
    publisher.stop()
    with stream_copy(broker.url, STREAM) as copy:
        yield copy


def compared(copy: StreamCopy, log: InMemoryEventStore, known: Any = ()) -> Extent:
    def ids(first: int, last: int) -> dict[int, UUID]:
        events = log.read_stream(first, limit=last - first + 1)
        return {event.position: event.event_id for event in events}

    extent = copy.compare(log.head(), ids, [str(each.head().log_id) for each in known])
    assert extent is not None
    return extent


def of_length(length: int) -> InMemoryEventStore:
    log = InMemoryEventStore()
    fill(log, length)
    return log


def test_the_log_that_it_is_of_is_agreed_with(trimmed: StreamCopy, log: InMemoryEventStore) -> None:
    extent = compared(trimmed, log, known=[log])
    assert (extent.agreed, extent.ahead) == (LENGTH, False)


@pytest.mark.parametrize("length", [20, LENGTH - 5, LENGTH + 50])
def test_a_log_that_has_nothing_in_common_with_it_agrees_nowhere(
    trimmed: StreamCopy, length: int
) -> None:
    assert compared(trimmed, of_length(length)).agreed == 0


def test_a_log_that_differs_from_all_that_it_has_may_differ_from_the_beginning(
    trimmed: StreamCopy, log: InMemoryEventStore
) -> None:
    """It was restored to an unknown point before the stream's first message, and went on."""
    extent = compared(trimmed, of_length(LENGTH), known=[log])
    assert (extent.agreed, extent.ahead) == (0, True)


def test_a_log_that_ends_before_it_begins_is_not_contradicted(
    trimmed: StreamCopy, log: InMemoryEventStore
) -> None:
    extent = compared(trimmed, of_length(20), known=[log])
    assert (extent.agreed, extent.ahead) == (20, True)


def test_each_of_its_messages_is_read_once(trimmed: StreamCopy) -> None:
    found = [message.metadata.sequence.stream for message in trimmed.messages(1, LENGTH)]
    assert found == list(range(LENGTH - KEEP + 1, LENGTH + 1))


@pytest.mark.parametrize(("last", "left"), [(LENGTH - KEEP + 2, 2), (LENGTH - KEEP, 0)])
def test_what_was_trimmed_while_it_is_compared_is_not_made_up_for_by_what_came_after(
    trimmed: StreamCopy, broker: Broker, last: int, left: int
) -> None:
    found = broker.ask(lambda connection: identities(connection, STREAM, 1, last))
    assert [each.sequence for each in found] == list(range(last - left + 1, last + 1))
