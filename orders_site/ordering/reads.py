"""What the consoles may read of ordering."""

from django.db.models import QuerySet

from orders_site.ordering.models import OrderSaga
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
