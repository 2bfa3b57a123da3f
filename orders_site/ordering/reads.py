"""What the consoles may read of ordering."""

from django.db.models import QuerySet

from orders_site.ordering.models import OrderSaga, ParkedMessage
from orders_site.ordering.saga import Step


def saga_of(order_id: str) -> OrderSaga | None:
    """The order's saga; None until ordering's subscription has seen the order."""
    return OrderSaga.objects.filter(pk=order_id).first()


def alarmed(sagas: QuerySet) -> QuerySet:
    """Those with an alarm: due no more, and still without their refund, which one index finds."""
    return sagas.filter(deadline=None, state=Step.AWAITING_REFUND.value).exclude(alarm="")


def alarms(most: int) -> int:
    """How many sagas have an alarm, counted up to `most`."""
    return alarmed(OrderSaga.objects.order_by())[:most].count()


def parked_orders(most: int) -> list[str]:
    """The ids of orders that no saga follows because a message of theirs is parked."""
    parked = ParkedMessage.objects.filter(state=ParkedMessage.State.PARKED).order_by()
    # What was no notice of an event is parked without an aggregate.
    parked = parked.exclude(aggregate_id="")
    return list(parked.values_list("aggregate_id", flat=True).distinct()[:most])
