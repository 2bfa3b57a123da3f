"""However everybody's acts on one order interleave, it ends right: one outcome, the money follows.

The actors keep the rules of their contexts: decisions are taken on the history so far, what the
gateway did is appended whatever the history says, a refund answers money on a closed order.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from orders_site.money import Money
from orders_site.ordering import domain
from orders_site.ordering.details import OrderDetails, OrderItem
from orders_site.ordering.domain import RejectOrder, Status, decide, fold
from orders_site.ordering.saga import (
    Deadlines,
    Effect,
    RaiseAlarm,
    SagaState,
    Step,
    advance,
    timed_out,
)

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
WAIT = timedelta(minutes=1)
DEADLINES = Deadlines(payment=WAIT, approval=WAIT, refund=WAIT)
PRICE = Money(2500, "EUR")
CREATED = domain.place(
    domain.PlaceOrder(
        "order-1",
        OrderDetails("customer-1", "trattoria", "EUR", (OrderItem("p", "Pizza", PRICE, 1),)),
        NOON,
    )
)
History = tuple[domain.Event, ...]
OPEN = {Status.PENDING, Status.PAID}
CLOSED = {Status.REJECTED, Status.CANCELLED}


def saga_of(history: History) -> tuple[SagaState, list[Effect]]:
    state, effects = None, []
    for event in history:
        state, new = advance(state, event, NOON, DEADLINES)
        effects += new
    assert state is not None
    return state, effects


def order_of(history: History) -> domain.Order:
    order = fold(history)
    assert order is not None
    return order


def reject(history: History, effects: list[Effect] | tuple[Effect, ...]) -> History:
    """The history after the rejections among the effects, each decided on what is there by then."""
    for effect in effects:
        if isinstance(effect, RejectOrder):
            history += decide(effect, order_of(history))
    return history


def debit(history: History) -> History:
    return (*history, domain.PaymentDebited(PRICE))


def fail(history: History) -> History:
    return (*history, domain.PaymentFailed("no funds"))


def approve(history: History) -> History:
    paid = order_of(history).status is Status.PAID
    return (*history, domain.OrderApproved()) if paid else history


def turn_down(history: History) -> History:
    waiting = order_of(history).status in OPEN
    return (*history, domain.OrderRejected("no dough")) if waiting else history


def cancel(history: History) -> History:
    try:
        return history + decide(domain.CancelOrder("", ""), order_of(history))
    except domain.CannotCancel:
        return history


def refund(history: History) -> History:
    order = order_of(history)
    due = order.status in CLOSED and order.holds_money
    return (*history, domain.PaymentRefunded(PRICE)) if due else history


def react(history: History) -> History:
    return reject(history, saga_of(history)[1])


def time_out(history: History) -> History:
    return reject(history, timed_out(saga_of(history)[0], NOON + WAIT))


Action = Callable[[History], History]
OTHERS: tuple[Action, ...] = (approve, turn_down, cancel, refund, react, time_out, time_out)


def interleavings(history: History, left: tuple[Action, ...]) -> Iterator[History]:
    """Every history that the actions make in any order, each at most once, also those cut short."""
    seen: set[tuple[History, tuple[Action, ...]]] = set()
    stack = [(history, left)]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        so_far, todo = node
        yield so_far
        for place, action in enumerate(todo):
            stack.append((action(so_far), (*todo[:place], *todo[place + 1 :])))


def settle(history: History) -> History:
    """What is there once everything that reacts or times out has done so, nobody else acting."""
    while (then := refund(time_out(react(history)))) != history:
        history = then
    return history


def all_histories() -> set[History]:
    return {
        history
        for gateway in (debit, fail)
        for history in interleavings((CREATED,), (gateway, *OTHERS))
    }


def test_the_interleavings_reach_every_kind_of_end():
    ends = {(order_of(h).status, order_of(h).payment_status) for h in map(settle, all_histories())}
    assert {
        ("approved", "debited"),
        ("rejected", "none"),
        ("rejected", "failed"),
        ("rejected", "refunded"),
        ("cancelled", "none"),
        ("cancelled", "failed"),
        ("cancelled", "refunded"),
    } == ends


def test_however_actions_interleave_the_order_ends_and_its_money_follows():
    for history in all_histories():
        end = settle(history)
        order = order_of(end)
        state, _ = saga_of(end)
        assert order.status in CLOSED | {Status.APPROVED}, end
        assert order.holds_money == (order.status is Status.APPROVED), end
        assert order.refunded <= order.debited <= PRICE.minor, end
        approved = order.status is Status.APPROVED
        assert state.step is (Step.COMPLETED if approved else Step.CLOSED), end
        assert state.deadline is None, end


def test_an_order_has_one_outcome_only():
    outcomes = (domain.OrderApproved, domain.OrderRejected, domain.OrderCancelled)
    for history in all_histories():
        assert sum(isinstance(event, outcomes) for event in settle(history)) == 1, history


def test_reacting_and_timing_out_again_change_nothing():
    for history in all_histories():
        end = settle(history)
        assert react(end) == time_out(end) == end


def test_money_on_a_closed_order_that_does_not_come_back_raises_an_alarm():
    owing = 0
    for history in all_histories():
        order, (state, _) = order_of(history), saga_of(history)
        alarms = [e for e in timed_out(state, NOON + WAIT) if isinstance(e, RaiseAlarm)]
        assert bool(alarms) == (order.status in CLOSED and order.holds_money), history
        owing += len(alarms)
    assert owing
