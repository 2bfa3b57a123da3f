"""What the restaurant does about an order's events: opens tickets and keeps them up to the log."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from eventstore.client import Event, EventStore, NewEvent, execute, reaction_id
from restaurant import messages, rows
from restaurant.domain import Status, evolve, first_answer, ticket_id_of

Clock = Callable[[], datetime]
_APPROVED = {Status.APPROVED, Status.SHIPPED, Status.DELIVERED}
_TICKETED = {Status.PAID, *_APPROVED}


def utc_now() -> datetime:
    return datetime.now(UTC)


def open_ticket(cause: Event, *, store: EventStore, clock: Clock = utc_now) -> None:
    """Open the ticket of an order that was paid, and answer it if no person has to.

    An order whose ticket is open has been decided on: it waits for a person, whatever its
    restaurant would do with a new one.

    Raises:
        EventStoreError: as `execute`.
    """
    done = execute(store, cause.aggregate_id, _first_answer)
    order = messages.read_order(done.history)
    for event in done.events:
        if isinstance(event, NewEvent):
            order = evolve(order, messages.fact_in(event))
    if order.status in _TICKETED and order.placed is not None:
        rows.show(cause.aggregate_id, order, done.version, clock())
    if order.status not in _APPROVED:
        # Read the log once more: what closed the order before the ticket was there found nothing
        # to update.
        follow(cause.aggregate_id, store=store, clock=clock)


def follow_order(cause: Event, *, store: EventStore, clock: Clock = utc_now) -> None:
    """Bring the order's ticket up to the log, whichever event brought it to notice."""
    follow(cause.aggregate_id, store=store, clock=clock)


def follow_answer(cause: Event, *, store: EventStore, clock: Clock = utc_now) -> None:
    """As `follow_order`; but `open_ticket` is not done before the ticket shows its own answer."""
    history = store.read_aggregate(cause.aggregate_id)
    paid = paid_event(history)
    answered = paid is not None and cause.event_id == _first_answer_id(paid.event_id)
    if not answered or cause.version < len(history):
        _follow(cause.aggregate_id, history, clock())


def follow(order_id: str, *, store: EventStore, clock: Clock = utc_now) -> None:
    """Bring the order's ticket up to the log; once approved, an order has one."""
    _follow(order_id, store.read_aggregate(order_id), clock())


def _follow(order_id: str, history: Sequence[Event], now: datetime) -> None:
    order, version = messages.read_order(history), len(history)
    if order.status in _APPROVED and order.placed is not None:
        rows.show(order_id, order, version, now)
    elif history:
        rows.follow(order_id, order, version, now)


def paid_event(history: Sequence[Event]) -> Event | None:
    """The event that paid the order."""
    paid_by = messages.read_order(history).paid_by
    return next((event for event in history if event.event_id == paid_by), None)


def _first_answer(history: list[Event]) -> list[NewEvent]:
    """What a paid order is answered at once, as an event; nothing if it was decided on before."""
    paid = paid_event(history)
    order = messages.read_order(history)
    if paid is None or order.status is not Status.PAID:
        return []
    ticket_id = ticket_id_of(paid.event_id)
    known = rows.known(ticket_id, order.placed.restaurant_id if order.placed else "")
    if known.ticketed:
        return []
    decision = first_answer(order, known.terms, ticket_id, paid.recorded_at)
    event_id = _first_answer_id(paid.event_id)
    return [messages.decided(decision, event_id, paid)] if decision else []


def _first_answer_id(paid_by: UUID) -> UUID:
    return reaction_id(paid_by, "restaurant.open_ticket")


REACTIONS: dict[str, Callable[..., None]] = {
    messages.PAYMENT_DEBITED: open_ticket,
    messages.ORDER_APPROVED: follow_answer,
    messages.ORDER_REJECTED: follow_answer,
    messages.ORDER_CANCELLED: follow_order,
    messages.ORDER_SHIPPED: follow_order,
    messages.ORDER_DELIVERED: follow_order,
}
