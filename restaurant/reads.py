"""What the consoles may read of the restaurant."""

from uuid import UUID

from restaurant.models import Restaurant, Ticket


def ticket_of(order_id: str) -> Ticket | None:
    """The order's ticket; None if it was never paid, or rejected without one."""
    return Ticket.objects.filter(order_id=order_id).first()


def ticket(ticket_id: UUID) -> Ticket | None:
    """The ticket with this id."""
    return Ticket.objects.filter(pk=ticket_id).first()


def restaurant(restaurant_id: str) -> Restaurant | None:
    """The restaurant with this id."""
    return Restaurant.objects.filter(pk=restaurant_id).first()


def open_tickets(most: int) -> int:
    """How many tickets wait for a person, counted up to `most`."""
    return Ticket.objects.filter(state=Ticket.State.OPEN).order_by()[:most].count()
