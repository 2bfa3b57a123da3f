"""A system at rest, and whether everything that must hold does: all invariants, each from sources
that the thing it judges did not write.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import nats.js.errors
import psycopg
from psycopg.rows import dict_row

from eventstore.client.events import Event
from orders_site.embedded.credentials import load
from orders_site.embedded.nats import url as nats_url
from orders_site.embedded.postgres import url as database_url
from tests import expected_orders
from tests.chaos import mirror
from tests.chaos.customers import Request
from tests.e2e import invariants
from tests.e2e.system import System
from tests.integration.broker import STREAM

SUBSCRIPTIONS = {"ordering-saga", "payments", "restaurant", "orderquery-store"}
PARKED = {
    "orders": "ordering_parkedmessage",
    "payments": "payments_parkedmessage",
    "restaurant": "restaurant_parkedmessage",
    "queries": "queries_parkedmessage",
}
_OUR_CODE = re.compile(
    r'File "(?!.*site-packages).*/(eventstore|orders_site|payments|restaurant|queries)/'
)
# Three looks in a row without anything left to do.
LOOKS = 3


def rows(system: System, database: str, sql: str) -> list[dict[str, Any]]:
    """What a query answers in one of the system's databases."""
    url = database_url(system.data_dir, database)
    with psycopg.connect(url, row_factory=dict_row, connect_timeout=5) as session:
        return session.execute(sql).fetchall()


def publisher_url(system: System) -> str:
    return nats_url("publisher", system.ports["NATS"], load(system.data_dir))


def wait_until_quiet(system: System, seconds: float) -> float:
    """Wait until nothing is left to do; how long that took. AssertionError saying what is left."""
    began, quiet = time.monotonic(), 0
    left: list[str] = []
    while quiet < LOOKS:
        try:
            left = list(_left_to_do(system))
        except (psycopg.Error, *mirror.AWAY) as error:
            left = [repr(error)]
        quiet = 0 if left else quiet + 1
        assert time.monotonic() - began < seconds, f"still to do: {left}"
        time.sleep(0.25)
    return time.monotonic() - began


def _left_to_do(system: System) -> Iterator[str]:
    (head,) = rows(system, "eventstore", "SELECT log_id, position FROM eventstore_stream")
    if mirror.state(publisher_url(system)) != (str(head["log_id"]), head["position"]):
        yield f"publish up to {head['position']}"
    yield from asyncio.run(mirror.ask(publisher_url(system), _unread))
    due = "SELECT order_id, state FROM ordering_ordersaga WHERE deadline IS NOT NULL"
    yield from (f"order {row['order_id']} {row['state']}" for row in rows(system, "orders", due))
    for database, table in PARKED.items():
        sql = f"SELECT aggregate_id, error FROM {table} WHERE state <> 'resolved'"
        yield from (f"parked: {row}" for row in rows(system, database, sql))
    for table in ("payment", "refund"):
        sql = f"SELECT order_id FROM payments_{table} WHERE state = 'requested'"
        yield from (f"{table} of {row['order_id']}" for row in rows(system, "payments", sql))


async def _unread(js: mirror.JetStreamContext) -> list[str]:
    try:
        consumers = await js.consumers_info(STREAM)
    except nats.js.errors.NotFoundError:
        return ["the stream"]
    named = {info.name: info for info in consumers if info.config.durable_name}
    left = [f"{name} has no consumer" for name in SUBSCRIPTIONS - named.keys()]
    for name, info in named.items():
        if info.num_pending or info.num_ack_pending:
            left.append(f"{name}: {info.num_pending} to read, {info.num_ack_pending} to settle")
    return left


def judge(system: System, requests: Sequence[Request]) -> list[Event]:
    """Check every invariant on a quiet system; the log."""
    log = system.log()
    invariants.check_log(log)
    invariants.check_causes(log)
    invariants.check_orders(log)
    invariants.check_money(log, system.movements())
    check_requests(log, requests)
    check_ends(log)
    check_query_model(system, log)
    check_sagas(system, log)
    for database, table in PARKED.items():
        assert rows(system, database, f"SELECT * FROM {table} WHERE state <> 'resolved'") == []
    (head,) = rows(system, "eventstore", "SELECT log_id FROM eventstore_stream")
    invariants.check_stream(log, mirror.messages(publisher_url(system)), head["log_id"])
    verified = system.manage("verify_queries")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    raised = tracebacks(system)
    assert not raised, "\n".join(raised)
    return log


def check_requests(log: Sequence[Event], requests: Sequence[Request]) -> None:
    """I1 and I1c: an acknowledged order stands in the log as asked for; a key has one order."""
    created = [event for event in log if event.event_type == "order-created"]
    by_key = {str(event.context["idempotency_key"]): event for event in created}
    assert len(by_key) == len(created), "a key has two orders"
    asked = {request.key: request for request in requests}
    assert by_key.keys() <= asked.keys(), "an order that nobody asked for"
    for request in requests:
        event = by_key.get(request.key)
        if request.answers:
            assert event is not None, f"order {request.order_id} was acknowledged and is lost"
        if event is not None:
            check_content(event, request)
        assert all(answer == request.answers[0] for answer in request.answers)
        assert set(request.refusals) <= {422}
        cancelled = [answer for answer in request.cancellations if answer[0] == 200]
        assert all(answer == cancelled[0] for answer in cancelled)
        if cancelled:
            types = {e.event_type for e in log if e.aggregate_id == request.order_id}
            assert "order-cancelled" in types


def check_content(event: Event, request: Request) -> None:
    """The event says what the request said."""
    data, (item,) = event.payload, request.body["order_items"]
    minor = int(item["unit_price"].replace(".", "")) * item["quantity"]
    assert data["amount"] == f"{minor // 100}.{minor % 100:02}"
    for name in ("customer_id", "restaurant_id", "order_items"):
        assert data[name] == request.body[name]
    if request.answers:
        assert request.order_id == event.aggregate_id == data["order_id"]


def check_ends(log: Sequence[Event]) -> None:
    """I3: every order has an end, approved or closed, and a closed one has its money settled."""
    for order_id, order in invariants.by_order(log).items():
        types = Counter(event.event_type for event in order)
        ends = [types["order-approved"], types["order-rejected"], types["order-cancelled"]]
        assert sum(ends) == 1, f"{order_id}: {list(types)}"
        if not types["order-approved"]:
            assert types["order-payment-refunded"] == types["order-payment-debited"], order_id


def check_query_model(system: System, log: Sequence[Event]) -> None:
    """I6: the rows are the fold of the log by code that shares nothing with the projection."""
    orders = invariants.by_order(log)
    expected = [expected_orders.expected_row(order) for order in orders.values()]
    wanted = {row["order_id"]: row for row in expected if row is not None}
    found = {row["order_id"]: row for row in rows(system, "queries", _SELECT_ORDERS)}
    for row in found.values():
        del row["log_id"]
    assert found == wanted
    for owner in ("customer", "restaurant"):
        sums = expected_orders.expected_summaries(wanted.values(), f"{owner}_id")
        stored = rows(system, "queries", f"SELECT * FROM queries_{owner}summary WHERE orders <> 0")
        key = (f"{owner}_id", "day", "status", "currency")
        assert sums == {
            tuple(row[name] for name in key): (row["orders"], int(row["amount_minor"]))
            for row in stored
        }


_SELECT_ORDERS = "SELECT * FROM queries_orderrow"


def check_sagas(system: System, log: Sequence[Event]) -> None:
    """I2 and I3: the saga has seen each order to its end, and raised no alarm."""
    found = rows(system, "orders", "SELECT order_id, state, version, alarm FROM ordering_ordersaga")
    sagas = {row["order_id"]: row for row in found}
    orders = invariants.by_order(log)
    assert sagas.keys() == orders.keys()
    for order_id, row in sagas.items():
        assert row["version"] == len(orders[order_id]), order_id
        assert (row["state"], row["alarm"]) in {("completed", ""), ("closed", "")}, row


def tracebacks(system: System) -> list[str]:
    """I10: the last line of each traceback in the logs, but for Celery's own about its broker."""
    found = []
    for path in sorted((system.data_dir / "log").glob("*.log*")):
        text = path.read_text(errors="replace")
        for part in text.split("Traceback (most recent call last):\n")[1:]:
            if path.stem == "worker" and not _OUR_CODE.search(part):
                continue
            last = re.search(r"^\S.*$", part, re.M)
            found.append(f"{path.name}: {last[0] if last else part[:200]}")
    return found
