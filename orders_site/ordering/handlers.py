"""Ordering's doings: placing, cancelling, and the saga's reactions, tabled at the bottom."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4, uuid5

from django.conf import settings

from eventstore.client import (
    Event,
    EventIdConflict,
    EventStore,
    NewEvent,
    VersionConflict,
    execute,
    metadata_for,
    reaction_id,
)
from orders_site.ordering import domain, messages, saga, saga_rows
from orders_site.ordering.details import OrderDetails

ACTOR = "ordering"


class IdempotencyKeyReused(domain.OrderingError):
    """The Idempotency-Key was used before, for another order."""


@dataclass(frozen=True)
class Caller:
    """Who asks: an API client, or staff, who may see every order."""

    actor: str
    client_id: UUID | None = None

    def may_see(self, created: Event) -> bool:
        """Whether the order that began with `created` exists for the caller."""
        return self.client_id is None or created.context.get("api_client") == str(self.client_id)


# -- Placing and cancelling ---------------------------------------------------------------------


def place_order(
    details: OrderDetails,
    *,
    store: EventStore,
    client_id: UUID,
    now: datetime,
    idempotency_key: str = "",
    traceparent: str = "",
) -> domain.Order:
    """Place an order; with an idempotency key once only, whatever has become of it since.

    Returns:
        The order as it is right after its placing, at version 1.

    Raises:
        InvalidOrder: it breaks a rule.
        IdempotencyKeyReused: the client used the key for other details.
        EventStoreError: as `EventStore.append`.
    """
    order_id = uuid5(client_id, idempotency_key) if idempotency_key else uuid4()
    event_id = reaction_id(order_id, "ordering.place_order")
    fingerprint = messages.fingerprint(details)
    created = domain.place(domain.PlaceOrder(str(order_id), details, now))
    new = messages.new_event(
        created,
        event_id=event_id,
        order_id=str(order_id),
        metadata=metadata_for(
            actor=f"api-client:{client_id}",
            schema_version=messages.SCHEMA_VERSION,
            correlation_id=str(event_id),
            traceparent=traceparent,
            extra={
                "api_client": str(client_id),
                "fingerprint": fingerprint,
                "idempotency_key": idempotency_key,
            },
        ),
    )
    try:
        # Nearly always there is no such order yet, so that is found out by appending.
        store.append([new], 0)
    except (VersionConflict, EventIdConflict):
        history = store.read_aggregate(str(order_id))
        if not history:
            raise
        return _placed_before(history[0], fingerprint)
    return domain.Order(created)


def _placed_before(first: Event, fingerprint: str) -> domain.Order:
    """The order as it began, if it is the one that is asked for again."""
    order = messages.fold([first])
    if order is None or first.context.get("fingerprint") != fingerprint:
        raise IdempotencyKeyReused
    return order


def cancel_order(
    order_id: str, reason: str, *, store: EventStore, caller: Caller
) -> tuple[domain.Order, int]:
    """Cancel an order that is pending or paid; a second time gives the first one's answer.

    Returns:
        The order right after its cancellation, and its version.

    Raises:
        NoSuchOrder: or it is another client's.
        CannotCancel: it is too far on.
        EventStoreError: as `execute`.
    """

    def decide(history: Sequence[Event]) -> list[NewEvent]:
        order = messages.fold(history)
        if order is None or not caller.may_see(history[0]):
            raise domain.NoSuchOrder
        return _new_events(
            domain.decide(domain.CancelOrder(reason, by=caller.actor), order),
            order_id,
            event_id=reaction_id(history[0].event_id, "ordering.cancel_order"),
            metadata=metadata_for(
                actor=caller.actor,
                schema_version=messages.SCHEMA_VERSION,
                correlation_id=str(history[0].context.get("correlation_id", "")),
            ),
        )

    done = execute(store, order_id, decide)
    history = store.read_aggregate(order_id) if done.events else done.history
    return _when_cancelled(history)


def _when_cancelled(history: Sequence[Event]) -> tuple[domain.Order, int]:
    order: domain.Order | None = None
    for event in history:
        if (parsed := messages.parse(event)) is not None:
            order = domain.evolve(order, parsed)
        if order is not None and order.status is domain.Status.CANCELLED:
            return order, event.version
    raise domain.NoSuchOrder


def _new_events(
    decided: Sequence[domain.OwnEvent], order_id: str, *, event_id: UUID, metadata: str
) -> list[NewEvent]:
    return [
        messages.new_event(event, event_id=event_id, order_id=order_id, metadata=metadata)
        for event in decided
    ]


# -- The saga -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Followed:
    """The saga of an order, the version it is at, and what the event asked about called for."""

    state: saga.SagaState
    version: int
    created_at: datetime
    effects: tuple[saga.Effect, ...]


def _follow(history: Sequence[Event], cause: Event | None = None) -> _Followed | None:
    deadlines = _deadlines()
    state: saga.SagaState | None = None
    then: tuple[saga.Effect, ...] = ()
    for event in history:
        parsed = messages.parse(event)
        if parsed is None:
            continue
        state, effects = saga.advance(state, parsed, event.recorded_at, deadlines)
        if cause is not None and event.version == cause.version:
            then = effects
    if state is None:
        return None
    return _Followed(state, history[-1].version, history[0].recorded_at, then)


def _deadlines() -> saga.Deadlines:
    return saga.Deadlines(
        payment=timedelta(seconds=settings.PAYMENT_DEADLINE_SECONDS),
        approval=timedelta(seconds=settings.APPROVAL_DEADLINE_SECONDS),
        refund=timedelta(seconds=settings.REFUND_DEADLINE_SECONDS),
    )


def _show(order_id: str, followed: _Followed, log_id: UUID) -> None:
    saga_rows.show(
        order_id,
        followed.state,
        followed.version,
        created_at=followed.created_at,
        log_id=log_id,
    )


def follow_order(
    cause: Event, *, store: EventStore, log_id: Callable[[], UUID] | None = None
) -> None:
    """Bring the saga's row up to the log, then do what the event called for when it happened.

    Args:
        log_id: tells the id of the log; by default the store is asked.
    """
    order_id = cause.aggregate_id
    if cause.aggregate_type != messages.AGGREGATE_TYPE:
        return
    history = store.read_aggregate(order_id)
    now = _follow(history, cause)
    if now is None:
        return
    if _is_last(cause, history):
        _show(order_id, now, log_id() if log_id else store.head().log_id)
    for effect in now.effects:
        if isinstance(effect, domain.RejectOrder):
            _reject(effect, cause, store=store)


def _is_last(cause: Event, history: Sequence[Event]) -> bool:
    """Whether no later event of the order comes as a notice; one that does shows more."""
    later = history[cause.version :]
    return not any(event.event_type in REACTIONS for event in later)


def _reject(command: domain.RejectOrder, cause: Event, *, store: EventStore) -> None:
    order_id = cause.aggregate_id
    execute(
        store,
        order_id,
        lambda history: _new_events(
            domain.decide(command, messages.fold(history)),
            order_id,
            event_id=reaction_id(cause.event_id, "ordering.reject_order"),
            metadata=metadata_for(actor=ACTOR, cause=cause),
        ),
    )


def time_out(order_id: str, *, store: EventStore, now: datetime) -> None:
    """Do what the saga's deadline calls for, if it is over by `now` as the log has it.

    May run any number of times, at once too: one rejection for each wait, and only if the order
    still waits at the version that it is decided on.
    """

    def decide(history: Sequence[Event]) -> list[NewEvent]:
        followed = _follow(history)
        if followed is None:
            return []
        state = followed.state
        rejections = [
            event
            for effect in saga.timed_out(state, now)
            if isinstance(effect, domain.RejectOrder)
            for event in domain.decide(effect, state.order)
        ]
        return _new_events(
            rejections,
            order_id,
            event_id=reaction_id(history[0].event_id, f"ordering.timeout.{state.step}"),
            metadata=metadata_for(actor=ACTOR, cause=history[-1]),
        )

    execute(store, order_id, decide)
    if followed := _follow(store.read_aggregate(order_id)):
        _show(order_id, followed, store.head().log_id)
        for effect in saga.timed_out(followed.state, now):
            if isinstance(effect, saga.RaiseAlarm):
                saga_rows.alarm(order_id, followed.version, effect.text)


Reaction = Callable[..., None]

REACTIONS: Mapping[str, Reaction] = {
    messages.ORDER_CREATED: follow_order,
    messages.PAYMENT_DEBITED: follow_order,
    messages.PAYMENT_FAILED: follow_order,
    messages.ORDER_APPROVED: follow_order,
    messages.ORDER_REJECTED: follow_order,
    messages.ORDER_CANCELLED: follow_order,
    messages.PAYMENT_REFUNDED: follow_order,
}
