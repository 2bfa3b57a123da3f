"""The restaurant after the log lost its end: tickets that show more than it has are taken away."""

from collections.abc import Iterator, Sequence

from eventstore.client import Event, UnknownSchemaVersion
from eventstore.client.subscribing.recovering import Recovered, Reset, Rows
from eventstore.client.subscribing.recovering import recover as recover_context
from restaurant import rows
from restaurant.domain import ticket_id_of
from restaurant.handlers import paid_event
from restaurant.messages import MalformedEvent
from restaurant.models import Checkpoint, ParkedMessage, Ticket


def recover(recovered: Recovered) -> Iterator[Reset | int]:
    """Reset tickets; see `recovering.recover`.

    A ticket that goes comes again, under the same id, when its order's payment is seen again: so
    a restaurant that accepts by itself does so once more, and other people's answers are asked
    for once more.
    """
    yield from recover_context(
        recovered,
        database=rows.DATABASE,
        checkpoints=Checkpoint,
        parked=ParkedMessage,
        rows=Rows(Ticket, "order_id", _reset),
    )


def _reset(ticket: Ticket, history: Sequence[Event], kept: bool) -> str:
    try:
        paid = paid_event(history)
    except (MalformedEvent, UnknownSchemaVersion) as error:
        return f"ticket {ticket.pk} is left as it is: {error}"
    if kept and paid is not None and ticket_id_of(paid.event_id) == ticket.pk:
        return ""
    rows.take_away(ticket)
    return f"ticket {ticket.pk} was {ticket.state}, is gone until the order's payment is seen again"
