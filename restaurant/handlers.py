"""What the restaurant does about an order's events: opens tickets and keeps them up to the log."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from eventstore.client import Event, EventStore, NewEvent, execute, reaction_id
from restaurant import messages, rows
from restaurant.domain import Order, Status, first_answer, ticket_id_of

Clock = Callable[[], datetime]
_TICKETED = {Status.PAID, Status.APPROVED, Status.SHIPPED, Status.DELIVERED}


def utc_now() -> datetime:
    return datetime.now(UTC)


def open_ticket(cause: Event, *, store: EventStore, clock: Clock = utc_now) -> None:
    """Open the ticket of an order that was paid, and answer it if no person has to.

    An order whose ticket is open has been decided on: it waits for a person, whatever its
    restaurant would do with a new one.

    Raises:
        EventStoreError: as `execute`.
    """
    paid = paid_event(store.read_aggregate(cause.aggregate_id))
    if paid is not None and not rows.ticket_exists(ticket_id_of(paid.event_id)):
        order = _first_answered(paid, store)
        if order.placed is not None and order.status in _TICKETED:
            ticket_id = ticket_id_of(paid.event_id)
            rows.open_ticket(ticket_id, cause.aggregate_id, order.placed, clock())
    # Read the log once more: what happened before the ticket was there found nothing to update.
    follow_order(cause, store=store, clock=clock)


def follow_order(cause: Event, *, store: EventStore, clock: Clock = utc_now) -> None:
    """Bring the order's ticket up to the log, whichever event brought it to notice."""
    follow(cause.aggregate_id, store=store, clock=clock)


def follow(order_id: str, *, store: EventStore, clock: Clock = utc_now) -> None:
    """Bring the order's ticket, if it has one, up to the log."""
    history = store.read_aggregate(order_id)
    if history:
        rows.follow(order_id, messages.read_order(history), history[-1].version, clock())


def paid_event(history: Sequence[Event]) -> Event | None:
    """The event that paid the order."""
    paid_by = messages.read_order(history).paid_by
    return next((event for event in history if event.event_id == paid_by), None)


def _first_answered(paid: Event, store: EventStore) -> Order:
    """The order once it has been answered, or left to a person."""
    event_id = reaction_id(paid.event_id, "restaurant.open_ticket")

    def answer(history: list[Event]) -> list[NewEvent]:
        order = messages.read_order(history)
        terms = rows.terms_of(order.placed.restaurant_id) if order.placed else None
        decision = first_answer(order, terms, ticket_id_of(paid.event_id), paid.recorded_at)
        return [messages.decided(decision, event_id, paid)] if decision else []

    execute(store, paid.aggregate_id, answer)
    return messages.read_order(store.read_aggregate(paid.aggregate_id))


REACTIONS: dict[str, Callable[..., None]] = {
    messages.PAYMENT_DEBITED: open_ticket,
    messages.ORDER_APPROVED: follow_order,
    messages.ORDER_REJECTED: follow_order,
    messages.ORDER_CANCELLED: follow_order,
    messages.ORDER_SHIPPED: follow_order,
    messages.ORDER_DELIVERED: follow_order,
}
