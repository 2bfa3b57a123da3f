"""What staff do with tickets: each command once, as the order's status allows."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command

from eventstore.client import TransientError, Unavailable
from eventstore.client.memory import InMemoryEventStore
from restaurant import reads
from restaurant.domain import (
    TicketAlreadyAnswered,
    TicketNotApproved,
    TicketNotShipped,
    WordsMissing,
)
from restaurant.handlers import open_ticket
from restaurant.models import Restaurant, Ticket
from restaurant.tickets import (
    UnknownTicket,
    approve_ticket,
    deliver_ticket,
    reject_ticket,
    ship_ticket,
)
from tests import order_events
from tests.interruptions import Meanwhile
from tests.together import together

pytestmark = pytest.mark.django_db(databases=["restaurant"], transaction=True)

ANNA = "staff:anna"


@pytest.fixture
def store() -> InMemoryEventStore:
    return InMemoryEventStore()


@pytest.fixture
def ticket(store: InMemoryEventStore) -> Ticket:
    """An open ticket of a restaurant that answers in person."""
    call_command("create_demo_restaurants", stdout=StringIO(), skip_checks=True)
    created = order_events.place(store, restaurant_id="sushi-kyoto")
    open_ticket(order_events.debit(store, created.aggregate_id), store=store)
    return Ticket.objects.get()


def events(store: Any, ticket: Ticket) -> list[str]:
    """The types of what follows the payment."""
    return order_events.types(store, ticket.order_id)[2:]


def test_an_order_is_approved_shipped_and_delivered(
    store: InMemoryEventStore, ticket: Ticket
) -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    approved = approve_ticket(ticket.pk, actor=ANNA, store=store, clock=lambda: noon)
    assert (approved.state, approved.ready_at) == ("approved", noon.replace(minute=35))
    shipped = ship_ticket(ticket.pk, "Ada", actor=ANNA, store=store)
    assert (shipped.state, shipped.courier) == ("shipped", "Ada")
    delivered = deliver_ticket(ticket.pk, "Bob", actor=ANNA, store=store)
    assert (delivered.state, delivered.received_by) == ("delivered", "Bob")

    history = store.read_aggregate(ticket.order_id)
    assert [event.payload for event in history[2:]] == [
        {"ticket_id": str(ticket.pk), "ready_at": "2026-03-01T12:35:00.000Z"},
        {"courier": "Ada"},
        {"received_by": "Bob"},
    ]
    assert {event.context["actor"] for event in history[2:]} == {ANNA}
    assert {event.context["causation_id"] for event in history[2:]} == {str(history[1].event_id)}
    assert {event.context["correlation_id"] for event in history} == {ticket.order_id}


def test_an_order_is_rejected_with_a_reason(store: InMemoryEventStore, ticket: Ticket) -> None:
    rejected = reject_ticket(ticket.pk, "out of rice", actor=ANNA, store=store)
    assert (rejected.state, rejected.reason) == ("rejected", "out of rice")
    assert store.read_aggregate(ticket.order_id)[-1].payload == {"reason": "out of rice"}


def test_a_double_click_has_one_effect(store: InMemoryEventStore, ticket: Ticket) -> None:
    for _ in range(2):
        approve_ticket(ticket.pk, actor=ANNA, store=store)
    for courier in ("Ada", "Cid"):
        ship_ticket(ticket.pk, courier, actor=ANNA, store=store)
    for _ in range(2):
        deliver_ticket(ticket.pk, "Bob", actor=ANNA, store=store)
    approve_ticket(ticket.pk, actor=ANNA, store=store)
    assert events(store, ticket) == ["order-approved", "order-shipped", "order-delivered"]
    assert Ticket.objects.get().courier == "Ada"


def test_the_first_answer_wins(store: InMemoryEventStore, ticket: Ticket) -> None:
    approve_ticket(ticket.pk, actor=ANNA, store=store)
    with pytest.raises(TicketAlreadyAnswered, match="it is approved"):
        reject_ticket(ticket.pk, "changed my mind", actor=ANNA, store=store)
    assert events(store, ticket) == ["order-approved"]


@pytest.mark.parametrize("closing", [order_events.reject, order_events.cancel])
def test_an_order_that_closed_can_not_be_approved(
    store: InMemoryEventStore, ticket: Ticket, closing: Callable[..., object]
) -> None:
    closing(store, ticket.order_id)
    with pytest.raises(TicketAlreadyAnswered):
        approve_ticket(ticket.pk, actor=ANNA, store=store)


def test_a_cancellation_that_slips_in_before_the_approval_wins(
    store: InMemoryEventStore, ticket: Ticket
) -> None:
    slipping = Meanwhile(
        store, "append", lambda: order_events.cancel(store, ticket.order_id), before=True
    )
    with pytest.raises(TicketAlreadyAnswered, match="cancelled"):
        approve_ticket(ticket.pk, actor=ANNA, store=slipping)
    assert events(store, ticket) == ["order-cancelled"]


def test_nothing_is_shipped_unapproved_or_delivered_unshipped(
    store: InMemoryEventStore, ticket: Ticket
) -> None:
    with pytest.raises(TicketNotApproved, match="it is paid"):
        ship_ticket(ticket.pk, "Ada", actor=ANNA, store=store)
    with pytest.raises(TicketNotShipped, match="it is paid"):
        deliver_ticket(ticket.pk, "Bob", actor=ANNA, store=store)
    assert events(store, ticket) == []


def test_a_rejection_without_a_reason_is_refused(store: InMemoryEventStore, ticket: Ticket) -> None:
    with pytest.raises(WordsMissing):
        reject_ticket(ticket.pk, " ", actor=ANNA, store=store)
    assert events(store, ticket) == []


@pytest.mark.parametrize(
    "command",
    [
        approve_ticket,
        partial(reject_ticket, reason="x"),
        partial(ship_ticket, courier="x"),
        partial(deliver_ticket, received_by="x"),
    ],
)
def test_an_unknown_ticket_is_named_so(
    store: InMemoryEventStore, command: Callable[..., Ticket]
) -> None:
    with pytest.raises(UnknownTicket):
        command(uuid4(), actor=ANNA, store=store)


def test_approval_and_rejection_at_once_have_one_winner(
    store: InMemoryEventStore, ticket: Ticket
) -> None:
    def answer(command: Callable[..., Ticket]) -> str:
        try:
            return command(ticket.pk, actor=ANNA, store=store).state
        except TicketAlreadyAnswered:
            return "refused"

    commands: list[Callable[..., Ticket]] = [
        approve_ticket,
        partial(reject_ticket, reason="no"),
    ] * 2
    outcomes = sorted(together([partial(answer, command) for command in commands]))
    (winner,) = events(store, ticket)
    state = winner.removeprefix("order-")
    assert outcomes == sorted(["refused", "refused", state, state])
    assert Ticket.objects.get().state == state


def test_an_event_store_that_is_away_leaves_the_ticket_as_it_is(
    store: InMemoryEventStore, ticket: Ticket
) -> None:
    class Away(InMemoryEventStore):
        def read_aggregate(self, aggregate_id, from_version=1):
            raise Unavailable

    with pytest.raises(TransientError):
        approve_ticket(ticket.pk, actor=ANNA, store=Away())
    assert Ticket.objects.get().state == Ticket.State.OPEN


def test_a_restaurant_that_is_gone_leaves_the_default_preparation_time(
    store: InMemoryEventStore, ticket: Ticket
) -> None:
    Restaurant.objects.all().delete()
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    approved = approve_ticket(ticket.pk, actor=ANNA, store=store, clock=lambda: noon)
    assert approved.ready_at == noon.replace(minute=20)


def test_a_ticket_is_found_by_its_order(ticket: Ticket) -> None:
    assert reads.ticket_of(ticket.order_id) == ticket
    assert reads.ticket_of("another") is None
    assert reads.ticket(UUID(int=1)) is None
