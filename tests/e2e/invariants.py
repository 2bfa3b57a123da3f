"""Checkers of what must hold, reading only the log, the gateway's ledger and the API's answers."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from eventstore.client.events import Event
from eventstore.client.hashing import GENESIS, event_hash
from orders_site.money import Money
from tests.integration.broker import Stored

CLOSED = {"order-rejected", "order-cancelled"}
LEGAL_BEFORE = {
    "order-created": {None},
    "order-payment-debited": {"order-created", *CLOSED},
    "order-payment-failed": {"order-created", *CLOSED},
    "order-approved": {"order-payment-debited"},
    "order-rejected": {"order-created", "order-payment-debited", "order-payment-failed"},
    "order-cancelled": {"order-created", "order-payment-debited", "order-payment-failed"},
    "order-payment-refunded": {"order-payment-debited", *CLOSED},
    "order-shipped": {"order-approved"},
    "order-delivered": {"order-shipped"},
}


def check_log(events: list[Event]) -> None:
    """I7 and I8: positions and versions without gaps, ids unique, the hash chain unbroken."""
    assert [event.position for event in events] == list(range(1, len(events) + 1))
    assert len({event.event_id for event in events}) == len(events)
    versions: Counter[str] = Counter()
    for event in events:
        versions[event.aggregate_id] += 1
        assert event.version == versions[event.aggregate_id]
    check_chain(events)


def check_chain(events: Iterable[Event]) -> bytes:
    """I8: each hash covers its event and the hash before it; the last one."""
    previous = GENESIS
    for event in events:
        fields = {name: value for name, value in vars(event).items() if name in _HASHED}
        assert event.hash == event_hash(previous, **fields), event.position
        previous = event.hash
    return previous


_HASHED = frozenset(
    {
        "stream",
        "position",
        "event_id",
        "event_type",
        "aggregate_type",
        "aggregate_id",
        "version",
        "data",
        "metadata",
        "recorded_at",
    }
)


def check_stream(events: Sequence[Event], messages: Sequence[Stored], log_id: UUID) -> None:
    """I9: the JetStream stream is the log, message by message, and names the same log."""
    source = f"/eventstore/{events[0].stream}/{log_id}" if events else ""
    told = [_told(message) for message in messages]
    assert told == [
        (
            event.position,
            f"{event.stream}.{event.event_type}",
            event.data.encode(),
            str(event.event_id),
            source,
            event.aggregate_id,
            str(event.version),
            str(event.position),
        )
        for event in events
    ]


def _told(message: Stored) -> tuple[Any, ...]:
    names = ("ce-id", "ce-source", "ce-subject", "ce-version", "ce-position")
    headers = [message.headers.get(name) for name in names]
    return (message.sequence, message.subject, message.data, *headers)


def check_causes(events: list[Event]) -> None:
    """I7: an effect stands after its cause."""
    position = {str(event.event_id): event.position for event in events}
    for event in events:
        if cause := event.context.get("causation_id"):
            assert position[cause] < event.position


def check_orders(events: list[Event]) -> None:
    """I3b: only legal transitions; each effect once."""
    for order in by_order(events).values():
        types = [event.event_type for event in order]
        assert max(Counter(types).values()) == 1, types
        for number, type_ in enumerate(types):
            before = types[number - 1] if number else None
            assert before in LEGAL_BEFORE[type_], types


def check_money(events: list[Event], movements: Iterable[dict[str, Any]]) -> None:
    """I4 and I5: every movement has its event, once, to the minor unit, and the other way round."""
    in_log: Counter[tuple[str, str, int, str]] = Counter()
    owed: dict[str, int] = defaultdict(int)
    for order_id, order in by_order(events).items():
        types = {event.event_type for event in order}
        for event in order:
            kind = _MOVES.get(event.event_type)
            if kind:
                money = Money.parse(event.payload["amount"], event.payload["currency"])
                in_log[(kind, order_id, money.minor, money.currency)] += 1
                owed[order_id] += money.minor if kind == "capture" else -money.minor
        if types & CLOSED:
            assert owed[order_id] == 0, f"{order_id} is closed and its money not given back"
    in_ledger: Counter[tuple[str, str, int, str]] = Counter()
    for move in movements:
        key = (move["kind"], move["order_id"], move["amount"], move["currency"].upper())
        in_ledger[key] += 1
    assert in_ledger == in_log
    assert max(in_ledger.values(), default=1) == 1


_MOVES = {"order-payment-debited": "capture", "order-payment-refunded": "refund"}


def by_order(events: Iterable[Event]) -> dict[str, list[Event]]:
    """The events of each order by version."""
    orders: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        orders[event.aggregate_id].append(event)
    return orders
