"""Compares the gateway's ledger with the log and the rows, both ways, and finishes what hangs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q

from eventstore.client import Event, EventStore, RetryLater, UnknownSchemaVersion
from payments import messages
from payments.domain import Order, payment_id_of
from payments.gateways.port import (
    Charge,
    GatewayRejectedRequest,
    Movement,
    MovementKind,
    PaymentGateway,
    Refund,
)
from payments.handlers import (
    IN_FLIGHT,
    Clock,
    ContradictingOutcome,
    record_charge,
    refund_payment,
    take_payment,
    utc_now,
)
from payments.messages import MalformedEvent
from payments.models import Payment
from payments.models import Refund as RefundRow
from payments.outages import translated
from payments.reads import unsettled_payments

PAGE = 100
# What one order's events or the gateway's answer about it can be; the others go on.
UNSETTLED = (
    RetryLater,
    MalformedEvent,
    UnknownSchemaVersion,
    ContradictingOutcome,
    GatewayRejectedRequest,
)


@dataclass(frozen=True)
class Difference:
    """What does not agree about the money of one order."""

    order_id: str
    what: str

    def __str__(self) -> str:
        return f"order {self.order_id or 'unknown'}: {self.what}"


@dataclass(kw_only=True)
class Reconciliation:
    """One run over at most `limit` movements, payments and refunds.

    It is bounded in memory by a page. `cursor` is where the reading of the gateway's ledger
    starts, and after the run where the next one goes on; `hanging_after` is the same for payments
    that hang, which start again once all had their turn. What is younger than IN_FLIGHT is left
    alone: it may be half done by a worker at this moment.

    Raises (all methods):
        TransientError: the gateway or the event store are away.
    """

    store: EventStore
    gateway: PaymentGateway
    since: datetime
    limit: int
    cursor: str | None = None
    hanging_after: str | None = None
    clock: Clock = field(default=utc_now)

    def differences(self) -> Iterator[Difference]:
        """Everything that does not agree; what could be put right has been."""
        with translated(self.gateway, waited=timedelta(0)):
            yield from self.finish_requested()
            yield from self.compare_movements()
            yield from self.compare_payments()
            yield from self.compare_refunds()

    def recent_differences(self) -> Iterator[Difference]:
        """What hangs, and what the gateway's ledger has gained since `cursor`."""
        with translated(self.gateway, waited=timedelta(0)):
            yield from self.finish_requested()
            yield from self.compare_movements()

    def finish_requested(self) -> Iterator[Difference]:
        """Payments that hang: the gateway is asked again, by their key.

        Some can never be finished, such as one whose order can't be read. They must not keep the
        others from their turn, so each run goes on behind the last one that had it.
        """
        asked_before, left = self.clock() - IN_FLIGHT, self.limit
        while left > 0:
            size = min(PAGE, left)
            page = unsettled_payments(asked_before, size, _place(self.hanging_after))
            for payment in page:
                try:
                    self._finish(payment)
                except UNSETTLED as error:
                    what = f"payment {payment.pk} is unsettled: {error}"
                    yield Difference(payment.order_id, what)
                self.hanging_after = f"{payment.asked_at.isoformat()} {payment.pk}"
            left -= len(page)
            if len(page) < size:
                self.hanging_after = None
                return

    def compare_movements(self) -> Iterator[Difference]:
        """Movements in the gateway's ledger that the log does not have."""
        newest = self.clock() - IN_FLIGHT
        left = self.limit
        while left > 0:
            page = self.gateway.list_movements(self.cursor, min(PAGE, left))
            settled = [movement for movement in page if movement.created_at <= newest]
            orders = self._histories(settled)
            for movement in settled:
                yield from self._compare_movement(movement, orders.get(movement.order_id, []))
                self.cursor = movement.cursor
            if not page or len(settled) < len(page):
                return
            left -= len(page)

    def compare_payments(self) -> Iterator[Difference]:
        """Debits on record that the gateway's ledger does not have."""
        debited = [
            Payment.State.DEBITED,
            Payment.State.PARTIALLY_REFUNDED,
            Payment.State.REFUNDED,
        ]
        for payment in _since(Payment, debited, self.since, self.limit):
            charge = self.gateway.find_charge(str(payment.pk))
            if not _agree(charge, payment):
                yield Difference(
                    payment.order_id, f"payment {payment.pk} is debited here, not at the gateway"
                )

    def compare_refunds(self) -> Iterator[Difference]:
        """Refunds on record that the gateway's ledger does not have."""
        for refund in _since(RefundRow, [RefundRow.State.REFUNDED], self.since, self.limit):
            if not _agree(self.gateway.find_refund(str(refund.pk)), refund):
                yield Difference(
                    refund.order_id, f"refund {refund.pk} is made here, not at the gateway"
                )

    def _finish(self, payment: Payment) -> None:
        created = _created(self.store.read_aggregate(payment.order_id))
        if created is None:
            raise ContradictingOutcome("the log does not have its order")
        take_payment(created, store=self.store, gateway=self.gateway, clock=self.clock)

    def _histories(self, movements: Sequence[Movement]) -> dict[str, list[Event]]:
        orders: dict[str, list[Event]] = {each.order_id: [] for each in movements if each.order_id}
        for event in self.store.read_many([(order_id, 1) for order_id in orders]):
            orders[event.aggregate_id].append(event)
        return orders

    def _compare_movement(self, movement: Movement, history: list[Event]) -> Iterator[Difference]:
        try:
            order = messages.read_order(history)
            if _is_in(order, movement):
                return
            what = f"{movement.kind} {movement.reference} is not in its log"
            if movement.kind is MovementKind.CAPTURE and order.debit is None:
                what += self._adopt(movement, order, history)
        except UNSETTLED as error:
            what = f"{movement.kind} {movement.reference}: {error}"
        yield Difference(movement.order_id, what)

    def _adopt(self, movement: Movement, order: Order, history: list[Event]) -> str:
        """Put a capture into the log that we asked for; how that reads in a report."""
        created = _created(history)
        if created is None or order.placed is None:
            return ""
        payment = Payment.objects.filter(pk=payment_id_of(order.placed)).first()
        if payment is None or str(payment.pk) != movement.idempotency_key:
            return ""
        charge = Charge(
            reference=movement.reference,
            amount_minor=movement.amount_minor,
            currency=movement.currency,
            created_at=movement.created_at,
        )
        record_charge(created, payment, charge, store=self.store)
        refund_payment(created, store=self.store, gateway=self.gateway, clock=self.clock)
        return "; it is now"


def _place(text: str | None) -> tuple[datetime, UUID] | None:
    if not text:
        return None
    asked_at, id_ = text.split(" ")
    return datetime.fromisoformat(asked_at), UUID(id_)


def _since(model: Any, states: Sequence[Any], since: datetime, limit: int) -> Iterator[Any]:
    """Rows of these states by age, a page at a time."""
    rows = model.objects.filter(state__in=states).order_by("created_at", "id")
    after = Q(created_at__gte=since)
    while limit > 0:
        page = list(rows.filter(after)[: min(PAGE, limit)])
        yield from page
        if not page:
            return
        last, limit = page[-1], limit - len(page)
        after = Q(created_at__gt=last.created_at) | Q(created_at=last.created_at, id__gt=last.pk)


def _is_in(order: Order, movement: Movement) -> bool:
    money = (movement.reference, movement.amount_minor, movement.currency)
    made = order.refunds if movement.kind is MovementKind.REFUND else [order.debit]
    return any(
        (fact.provider_reference, fact.amount.minor, fact.amount.currency) == money
        for fact in made
        if fact is not None
    )


def _agree(found: Charge | Refund | None, row: Payment | RefundRow) -> bool:
    return found is not None and (found.reference, found.amount_minor, found.currency) == (
        row.provider_reference,
        row.amount_minor,
        row.currency,
    )


def _created(history: list[Event]) -> Event | None:
    created = (event for event in history if event.event_type == messages.ORDER_CREATED)
    return next(created, None)
