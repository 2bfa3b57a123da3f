"""Messages that are no notices of the log's events."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from eventstore.client.memory import InMemoryEventStore
from eventstore.client.subscribing.delivery import Delivery, Done
from eventstore.client.subscribing.parking import request_retry
from payments.models import ParkedMessage
from tests.integration.desks import (
    ATTEMPTS,
    all_done,
    deliveries,
    delivery,
    desk,
    fill,
    handled,
    reactor,
    the_row,
)
from tests.integration.handlers import Ledger, Reactions
from tests.integration.messaging import State

pytest_plugins = ["tests.integration.messaging"]
pytestmark = pytest.mark.django_db(databases=["payments"], transaction=True)


FORGED: dict[str, dict[str, str]] = {
    "of an event that is not in the log": {"ce_version": "7"},
    "of an aggregate that is not in the log": {"ce_subject": "order-unheard-of"},
    "with another event's id": {"ce_id": str(uuid4())},
    "without a version": {"ce_version": ""},
    "with a position from the future": {"ce_position": "99"},
}


@pytest.mark.parametrize("kind", ["projector", "reactor"])
@pytest.mark.parametrize("changes", FORGED.values(), ids=FORGED)
def test_a_forged_notice_is_parked_and_others_flow(
    log: InMemoryEventStore, kind: str, changes: dict[str, str]
) -> None:
    for id_ in ("a", "b"):
        fill(log, id_)
    ledger, reactions = Ledger(), Reactions()
    work = desk(log, ledger if kind == "projector" else reactor(reactions))
    first, second = log.read_stream()
    settled = handled(work, [delivery(log, first, **changes), delivery(log, second)])
    assert settled == {1: Done(), 2: Done()}
    row = the_row()
    assert (row.aggregate_id, row.from_version, row.position) == ("", 1, 1)
    assert (row.state, row.event_type) == (State.PARKED, "order-created")
    done = ledger.applied if kind == "projector" else dict(reactions.versions)
    assert done["b"] == 1


def test_a_forged_notice_blocks_not_the_order_that_it_names(log: InMemoryEventStore) -> None:
    fill(log, "a")
    reactions = Reactions()
    work = desk(log, reactor(reactions))
    (event,) = log.read_stream()
    handled(work, [delivery(log, event, ce_id=str(uuid4()))])
    assert all_done(handled(work, deliveries(log)))
    assert reactions.versions == [("a", 1)]


@pytest.mark.parametrize("kind", ["projector", "reactor"])
def test_the_retry_of_a_bad_notice_takes_the_event_that_belongs_there(
    log: InMemoryEventStore, kind: str
) -> None:
    ledger, reactions = Ledger(), Reactions()
    work = desk(log, ledger if kind == "projector" else reactor(reactions))
    assert all_done(handled(work, [Delivery(1, "ORDERS.junk", {}, b"\x00\xff")]))
    request_retry(ParkedMessage, [the_row().pk])
    work.retry()
    assert (the_row().state, "no event at 1" in the_row().error) == (State.PARKED, True)
    fill(log, "a")
    request_retry(ParkedMessage, [the_row().pk])
    work.retry()
    assert the_row().state == State.RESOLVED
    assert (ledger.applied if kind == "projector" else dict(reactions.versions)) == {"a": 1}


def test_the_same_bad_notice_again_is_one_row(log: InMemoryEventStore) -> None:
    work = desk(log, Ledger())
    for _ in range(2):
        handled(work, [Delivery(1, "ORDERS.junk", {}, b"junk")])
    assert the_row().payload == "junk"


class Broken(Ledger):
    """A projector that can't even look up one aggregate."""

    def versions(self, aggregate_ids: Sequence[str]) -> Any:
        if "poison" in aggregate_ids:
            raise ValueError("no such key")
        return super().versions(aggregate_ids)


def test_a_message_that_spoils_the_lookup_blocks_nobody(log: InMemoryEventStore) -> None:
    for id_ in ("a", "poison", "b"):
        fill(log, id_)
    ledger = Broken()
    work = desk(log, ledger)
    for _ in range(ATTEMPTS):
        handled(work, deliveries(log))
    assert ledger.applied == {"a": 1, "b": 1}
    assert (the_row().aggregate_id, the_row().state) == ("poison", State.PARKED)
