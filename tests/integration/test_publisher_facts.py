"""What the publisher reads of a log in SQL is what messages made of its events say."""

import json

import pytest

from eventstore.client import metadata_for
from eventstore.client.notice import facts_of
from eventstore.publishing.facts import read_facts
from eventstore.publishing.wire import framing
from tests.contract import stores
from tests.contract.new_events import new_event, new_events
from tests.integration.broker import STREAM

pytestmark = pytest.mark.django_db(databases=["eventstore"], transaction=True)

STRANGE = ["Küche 7", 'a"b%41c', "注文/1?x=#", "  spaced  ", "\U0001f600", "a\\b", "x" * 255]
METADATA = [
    "{}",
    '  { "correlation_id" : "c\\u0020 1", "traceparent":null } ',
    '{"correlation_id":"a","correlation_id":"b","x":{"causation_id":"inner"}}',
    '{"correlation_id":"\\ud800","causation_id":"\\"}{"}',
    metadata_for(actor="tests", correlation_id="c", traceparent="00-aa-bb-01"),
]


def test_a_message_is_the_same_whether_it_is_made_of_a_row_or_of_an_event() -> None:
    with stores.sql() as store:
        for name in STRANGE:
            store.append([new_event(name, data=json.dumps({"ä": name}, ensure_ascii=False))])
        for text in METADATA:
            store.append([new_event("order-1", metadata=text), new_event("order-1", data="")])
        frame = framing(store.head(), "_INBOX.tests", 1024 * 1024)
        events = list(map(facts_of, store.read_stream()))
        rows = list(read_facts(store, STREAM, 1))
        assert rows == events
        assert list(map(frame, rows)) == list(map(frame, events))


@pytest.mark.parametrize("first", [1, 2, 64, 65, 600, 1_300, 1_301])
def test_a_log_of_many_pages_is_read_from_any_position_to_its_end(first: int) -> None:
    with stores.sql() as store:
        for aggregate in ("a", "b"):
            store.append(new_events(650, aggregate))
        positions = [facts.position for facts in read_facts(store, STREAM, first)]
        assert positions == list(range(first, 1_301))
