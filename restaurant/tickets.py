"""What staff do with tickets; the admin's actions call these."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from eventstore.client import Event, EventStore, NewEvent, execute, reaction_id
from restaurant import messages, reads
from restaurant.domain import (
    ApproveTicket,
    Command,
    DeliverTicket,
    RejectTicket,
    ShipTicket,
    Status,
    TicketNotPaid,
    decide,
)
from restaurant.handlers import Clock, follow, paid_event, utc_now
from restaurant.models import Ticket

DEFAULT_PREPARATION = timedelta(minutes=20)
_NAMES: dict[type[Command], str] = {
    ApproveTicket: "approve_ticket",
    RejectTicket: "reject_ticket",
    ShipTicket: "ship_ticket",
    DeliverTicket: "deliver_ticket",
}


class UnknownTicket(LookupError):
    """There is no such ticket."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def approve_ticket(
    ticket_id: UUID, *, actor: str, store: EventStore, clock: Clock = utc_now
) -> Ticket:
    """Take the order on: it will be ready after the restaurant's preparation time.

    This and the other commands have one effect however often they are given.

    Args:
        actor: who does it, such as "staff:anna".

    Raises:
        UnknownTicket: there is no such ticket.
        TicketRefusal: the order's status does not allow it; says what the status is.
        EventStoreError: as `execute`.
    """
    ticket = _known(ticket_id)
    found = reads.restaurant(ticket.restaurant_id)
    preparation = timedelta(minutes=found.preparation_minutes) if found else DEFAULT_PREPARATION
    command = ApproveTicket(ticket_id=ticket_id, ready_at=clock() + preparation)
    return _give(ticket, command, actor, store, clock)


def reject_ticket(
    ticket_id: UUID, reason: str, *, actor: str, store: EventStore, clock: Clock = utc_now
) -> Ticket:
    """Turn the order down, in words for the customer; else as `approve_ticket`, or WordsMissing."""
    return _give(_known(ticket_id), RejectTicket(reason=reason), actor, store, clock)


def ship_ticket(
    ticket_id: UUID, courier: str, *, actor: str, store: EventStore, clock: Clock = utc_now
) -> Ticket:
    """Hand an approved order to a courier; else as `approve_ticket`, or WordsMissing."""
    return _give(_known(ticket_id), ShipTicket(courier=courier), actor, store, clock)


def deliver_ticket(
    ticket_id: UUID, received_by: str, *, actor: str, store: EventStore, clock: Clock = utc_now
) -> Ticket:
    """A shipped order has arrived; else as `approve_ticket`, or WordsMissing."""
    return _give(_known(ticket_id), DeliverTicket(received_by=received_by), actor, store, clock)


def _known(ticket_id: UUID) -> Ticket:
    ticket = reads.ticket(ticket_id)
    if ticket is None:
        raise UnknownTicket
    return ticket


def _give(ticket: Ticket, command: Command, actor: str, store: EventStore, clock: Clock) -> Ticket:
    execute(store, ticket.order_id, _decision(command, actor))
    follow(ticket.order_id, store=store, clock=clock)
    return _known(ticket.pk)


def _decision(command: Command, actor: str) -> Callable[[list[Event]], list[NewEvent]]:
    def decision(history: list[Event]) -> list[NewEvent]:
        paid = paid_event(history)
        if paid is None:
            raise TicketNotPaid(Status.PENDING)
        event_id = reaction_id(paid.event_id, f"restaurant.{_NAMES[type(command)]}")
        if any(event.event_id == event_id for event in history):
            return []  # given before; a second click is no second decision
        order = messages.read_order(history)
        return [messages.decided(decide(command, order), event_id, paid, actor=actor)]

    return decision
