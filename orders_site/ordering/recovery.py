"""The saga after the log lost its end: rows that show more than it has are taken away."""

from collections.abc import Iterator, Sequence

from eventstore.client import Event
from eventstore.client.subscribing.recovering import Recovered, Reset, Rows
from eventstore.client.subscribing.recovering import recover as recover_context
from orders_site.ordering import saga_rows
from orders_site.ordering.models import Checkpoint, OrderSaga, ParkedMessage


def recover(recovered: Recovered) -> Iterator[Reset | int]:
    """Reset saga rows; see `recovering.recover`. A row that goes comes again from the log."""

    def reset(row: OrderSaga, history: Sequence[Event], kept: bool) -> str:
        if kept:
            saga_rows.keep(row, recovered.log_id)
            return ""
        saga_rows.take_away(row)
        return f"the saga was {row.state}, is gone until the order is seen again"

    yield from recover_context(
        recovered,
        database=saga_rows.DATABASE,
        checkpoints=Checkpoint,
        parked=ParkedMessage,
        rows=Rows(OrderSaga, "order_id", reset),
    )
