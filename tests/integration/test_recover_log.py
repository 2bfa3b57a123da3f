"""The event store's database comes back older than what NATS and the contexts have seen."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command

from eventstore.backup import recovery
from eventstore.client import validation
from eventstore.client.errors import InvalidEvent
from eventstore.client.notice import BadNotice
from orders_site import log_recovery
from orders_site.ordering.handlers import Caller, cancel_order
from orders_site.ordering.models import OrderSaga
from payments.models import Payment, Refund
from queries.models import OrderRow
from restaurant import messages, rows
from restaurant.models import Ticket
from restaurant.tickets import approve_ticket
from tests.contract import stores
from tests.contract.new_events import new_event
from tests.e2e.invariants import check_causes, check_log, check_orders
from tests.integration import tampering
from tests.integration.broker import STREAM
from tests.integration.whole_system import AUTOMATIC, BY_HAND, WholeSystem
from tests.together import eventually

pytest_plugins = ["tests.integration.whole_system", "tests.integration.messaging"]
pytestmark = [
    pytest.mark.django_db(databases=list(django_settings.DATABASES), transaction=True),
    pytest.mark.usefixtures("impatient"),
]
STAFF = Caller("staff:anna")


@pytest.fixture(autouse=True)
def reports(settings, tmp_path, monkeypatch) -> Path:
    """Where reports go; and subscriptions go back no further than they must."""
    settings.DATA_DIR = tmp_path
    settings.CHECKPOINT_DIR = str(tmp_path / "checkpoints")
    settings.NATS_PUBLISHER_URL = django_settings.NATS_PUBLISHER_URL
    monkeypatch.setattr(recovery, "MARGIN", timedelta(0))
    monkeypatch.setattr(log_recovery, "ANSWER_SECONDS", 0.3)
    return tmp_path / "recovery"


@pytest.fixture
def without_metadata(monkeypatch) -> None:
    """Messages as an older version published them: they do not have all of an event."""

    def incomplete(*_: Any) -> None:
        raise BadNotice("ce-metadata is missing")

    monkeypatch.setattr("eventstore.backup.restoring.event_of", incomplete)


def recover(*arguments: str) -> str:
    out = StringIO()
    call_command("recover_log", "--yes", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def refused(*arguments: str, code: int = 1) -> str:
    with pytest.raises(CommandError) as refusal:
        recover(*arguments)
    assert refusal.value.returncode == code
    return str(refusal.value)


def orders_of_every_kind(system: WholeSystem) -> tuple[dict[str, str], int]:
    """Orders at every stage when the backup is made; the position of the backup."""
    orders = {}
    with system.running():
        for name in ("old", "old-by-hand", "to-cancel", "to-approve"):
            orders[name] = system.place(name, AUTOMATIC if name == "old" else BY_HAND)
        system.settled()
        backup = system.store.head().position
        # What follows is what the backup does not have.
        orders["new"] = system.place("new")
        orders["new-by-hand"] = system.place("new-by-hand", BY_HAND)
        orders["declined"] = system.place("declined", price=40_002)
        cancel_order(orders["to-cancel"], "too late", store=system.store, caller=STAFF)
        system.settled()
        ticket = Ticket.objects.get(order_id=orders["to-approve"])
        approve_ticket(ticket.pk, actor="staff:anna", store=system.store)
        system.settled()
    return orders, backup


def all_is_well(system: WholeSystem) -> None:
    """Log, rows and money agree, and NATS has the log."""
    events = system.events()
    check_log(events)
    check_causes(events)
    check_orders([event for event in events if event.aggregate_type == "order"])
    ids = system.broker.ids()
    assert ids
    assert ids == [str(event.event_id) for event in events[-len(ids) :]]
    call_command("verify_log", stdout=StringIO(), stderr=StringIO())
    call_command("verify_queries", stdout=StringIO())
    for row in [*OrderRow.objects.all(), *OrderSaga.objects.all()]:
        assert row.log_id == system.store.head().log_id
        assert row.version == len(system.store.read_aggregate(row.order_id))
    for saga in OrderSaga.objects.all():
        assert saga.order_status == OrderRow.objects.get(pk=saga.order_id).status
    for ticket in Ticket.objects.all():
        order = messages.read_order(system.store.read_aggregate(ticket.order_id))
        assert ticket.state == rows._STATES[order.status]


def captured(system: WholeSystem) -> set[str]:
    """The orders whose money was taken and not given back."""
    back = {refund.order_id for refund in system.gateway.refunds}
    captures = [capture.order_id for capture in system.gateway.captures]
    assert len(captures) == len(set(captures)), "charged twice"
    return set(captures) - back


def test_what_nats_has_is_put_back_and_nothing_is_lost(system, reports) -> None:
    orders, backup = orders_of_every_kind(system)
    events, head = system.events(), system.store.head()
    call_command("sign_checkpoint", stdout=StringIO())
    tampering.cut_tail(system.store, backup)

    said = recover()

    assert f"the log is back up to {head.position}" in said
    assert system.events() == events
    assert system.store.head() == head
    assert "nothing to recover" in refused()
    with system.running():
        system.place("after")
        system.settled()
    all_is_well(system)
    assert captured(system) == {
        *(orders[name] for name in ("old", "old-by-hand", "to-approve", "new", "new-by-hand")),
        *(row.order_id for row in Payment.objects.filter(order_id__isnull=False, state="debited")),
    }


def test_what_is_given_up_is_listed_and_everything_goes_on(system, reports) -> None:
    orders, backup = orders_of_every_kind(system)
    call_command("sign_checkpoint", stdout=StringIO())
    before = system.store.head()
    lost = {str(event.event_id): event for event in system.events() if event.position > backup}
    tampering.cut_tail(system.store, backup)

    said = recover("--discard")

    assert system.store.head().log_id != before.log_id
    listed = [
        json.loads(line)
        for line in (reports / f"lost-events-ORDERS-{backup}.jsonl").read_text().splitlines()
    ]
    assert {each["event_id"]: each["data"] for each in listed} == {
        id_: event.data for id_, event in lost.items()
    }
    assert f"{len(lost)} events that NATS has are lost" in said
    with system.running():
        system.settled()
        eventually(lambda: system.types(orders["old-by-hand"])[-1] == "order-payment-debited")
        # The client repeats its request under its key, as it does until it has an answer.
        assert system.place("new") == orders["new"]
        assert system.place("declined", price=40_002) == orders["declined"]
        system.settled()
        eventually(lambda: system.types(orders["new"])[-1] == "order-approved")
        eventually(lambda: system.types(orders["declined"])[-1] == "order-rejected")
        system.settled()
    all_is_well(system)
    assert "nothing to recover" in refused()
    resets = (reports / f"reset-rows-ORDERS-{backup}.jsonl").read_text()
    assert "25.00 EUR taken" in resets
    assert orders["new-by-hand"] in resets
    assert system.store.read_aggregate(orders["new-by-hand"]) == []
    assert not OrderRow.objects.filter(pk=orders["new-by-hand"]).exists()
    assert Ticket.objects.get(order_id=orders["to-approve"]).state == Ticket.State.OPEN


def test_money_given_back_for_a_cancellation_that_is_lost_is_told(system, reports) -> None:
    orders, backup = orders_of_every_kind(system)
    tampering.cut_tail(system.store, backup)
    assert f"{orders['to-cancel']}: payment" in (said := recover("--discard"))
    assert "given back" in said
    # So a person cancels it again, and the refund is found to be made.
    with system.running():
        system.settled()
        cancel_order(orders["to-cancel"], "as before", store=system.store, caller=STAFF)
        system.settled()
        eventually(lambda: system.types(orders["to-cancel"])[-1] == "order-payment-refunded")
        system.settled()
    refunds = [r for r in system.gateway.refunds if r.order_id == orders["to-cancel"]]
    assert len(refunds) == 1
    assert Refund.objects.get(order_id=orders["to-cancel"]).state == Refund.State.REFUNDED
    all_is_well(system)


def test_a_log_that_was_written_to_after_it_came_back(system, reports) -> None:
    """Orders are still taken while the publisher refuses; those are kept."""
    orders, backup = orders_of_every_kind(system)
    tampering.cut_tail(system.store, backup)
    meanwhile = system.place("meanwhile")
    assert system.place("new") == orders["new"]

    recover()

    with system.running():
        system.settled()
        eventually(lambda: system.types(meanwhile)[-1] == "order-approved")
        eventually(lambda: system.types(orders["new"])[-1] == "order-approved")
        system.settled()
    all_is_well(system)
    listed = (reports / f"lost-events-ORDERS-{backup}.jsonl").read_text().splitlines()
    assert {json.loads(line)["aggregate_id"] for line in listed} >= {orders["new-by-hand"]}
    assert json.loads(listed[0])["position"] > backup


KEEP = 4


def orders_of_which_nats_keeps_little(system: WholeSystem) -> int:
    """Orders before and after a backup; its position, which is before what NATS has."""
    with system.running(keep=KEEP):
        system.place("old")
        system.settled()
        backup = system.store.head().position
        for number in range(4):
            system.place(f"new-{number}")
        system.settled()
    assert system.broker.last() - KEEP > backup + 1
    tampering.cut_tail(system.store, backup)
    return backup


def test_what_nats_keeps_no_more_is_given_up(system, reports) -> None:
    backup = orders_of_which_nats_keeps_little(system)
    said = recover()
    assert f"up to position {backup};" in said
    assert f" {KEEP} events that NATS has are lost" in said
    listed = (reports / f"lost-events-ORDERS-{backup}.jsonl").read_text().splitlines()
    assert len({json.loads(line)["event_id"] for line in listed}) == len(listed) == KEEP
    with system.running(keep=KEEP):
        order = system.place("new-1")
        system.settled()
        eventually(lambda: system.types(order)[-1] == "order-approved")
        system.settled()
    all_is_well(system)


def test_a_log_that_went_on_and_differs_from_all_that_nats_kept(system, reports) -> None:
    """Nobody knows since when: what was seen of it counts for nothing."""
    backup = orders_of_which_nats_keeps_little(system)
    for number in range(system.broker.last() - backup + 1):
        system.place(f"afterwards-{number}")
    assert "up to position 0;" in recover()
    with system.running(keep=KEEP):
        system.settled()
        order = system.place("new-1")
        eventually(lambda: system.types(order)[-1] == "order-approved")
        system.settled()
    all_is_well(system)


def test_without_nats_the_contexts_alone_tell(system, reports) -> None:
    orders, backup = orders_of_every_kind(system)
    tampering.cut_tail(system.store, backup)
    system.broker.js(lambda js: js.delete_stream(STREAM))
    assert "0 events that NATS has are lost" in recover()
    with system.running():
        system.settled()
        assert system.place("new") == orders["new"]
        eventually(lambda: system.types(orders["new"])[-1] == "order-approved")
        system.settled()
    all_is_well(system)


def test_messages_without_all_of_their_events_are_given_up(
    system, reports, without_metadata
) -> None:
    _, backup = orders_of_every_kind(system)
    tampering.cut_tail(system.store, backup)
    assert "the log goes on as" in recover()
    with system.running():
        system.settled()
    all_is_well(system)


def test_what_nats_has_must_be_what_was_signed(system, reports, monkeypatch) -> None:
    with system.running():
        system.place("one")
        system.settled()
        backup = system.store.head().position
        system.place("two")
        system.settled()
    call_command("sign_checkpoint", stdout=StringIO())
    tampering.cut_tail(system.store, backup)
    from eventstore.backup import restoring

    original = restoring.event_of

    def forged(*arguments: Any) -> Any:
        event = original(*arguments)
        return type(event)(**{**vars(event), "metadata": '{"actor":"somebody"}'})

    monkeypatch.setattr(restoring, "event_of", forged)
    assert "is not what was signed at" in refused()
    assert system.store.head().position == backup


STEPS: dict[str, tuple[Any, str]] = {
    "before the new id": (log_recovery.recovery, "go_on"),
    "before it is signed": (log_recovery.Signer, "sign_recovery"),
    "before the contexts": (log_recovery.LogRecovery, "_rewind"),
    "before the query model": (log_recovery, "recover_queries"),
    "before the stream is dropped": (log_recovery.StreamCopy, "drop"),
}


@contextmanager
def interrupted_at(owner: Any, name: str) -> Iterator[None]:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, stop)
        yield


@pytest.mark.parametrize("step", STEPS)
def test_a_recovery_that_was_interrupted_goes_on(system, reports, step) -> None:
    with system.running():
        kept = system.place("kept")
        system.settled()
        backup = system.store.head().position
        lost = system.place("lost")
        system.settled()
    call_command("sign_checkpoint", stdout=StringIO())
    tampering.cut_tail(system.store, backup - 1)  # the approval of the first is lost too
    with interrupted_at(*STEPS[step]):
        assert "run it again, it goes on" in refused("--discard", code=130)
    said = recover("--discard")
    assert ("earlier run was interrupted" in said) == (step != "before the new id")
    with system.running():
        system.settled()
        eventually(lambda: system.types(kept)[-1] == "order-approved")
        assert system.place("lost") == lost
        eventually(lambda: system.types(lost)[-1] == "order-approved")
        system.settled()
    all_is_well(system)
    assert len(recovery.past_recoveries(system.store, STREAM)) == 1


def test_a_restoring_that_was_interrupted_goes_on(system, monkeypatch) -> None:
    with system.running():
        for number in range(8):
            system.place(f"order-{number}")
        system.settled()
    events = system.events()
    tampering.cut_tail(system.store, 2)
    from eventstore.backup import restoring

    batches, add = restoring.batches, restoring.add
    monkeypatch.setattr(restoring, "batches", lambda found: batches(found, 5))
    calls: list[None] = []

    def stopping(*arguments: Any) -> Any:
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return add(*arguments)

    monkeypatch.setattr(restoring, "add", stopping)
    assert "run it again" in refused(code=130)
    assert system.store.head().position == 12
    recover()
    assert system.events() == events
    with system.running():
        system.settled()
    all_is_well(system)


def test_a_database_restored_to_before_a_recovery_recovers_again(system, reports) -> None:
    with system.running():
        system.place("one")
        system.settled()
        backup = system.store.head()
        system.place("two")
        system.settled()
    tampering.cut_tail(system.store, backup.position)
    recover("--discard")
    with system.running():
        system.place("three")
        system.settled()
    second = system.store.head()
    events = system.events()
    tampering.cut_tail(system.store, backup.position)
    tampering.run_sql("UPDATE eventstore_stream SET log_id = %s", backup.log_id)
    recover()
    assert system.store.head() == second
    assert system.events() == events
    with system.running():
        system.settled()
    all_is_well(system)


def test_nothing_is_done_when_there_is_nothing_to_recover(system) -> None:
    with system.running():
        system.place("one")
        system.settled()
    before = system.store.head()
    assert "nothing to recover" in refused()
    assert system.store.head() == before


def test_rows_are_looked_through_on_demand(system) -> None:
    with system.running():
        order = system.place("one")
        system.settled()
    OrderSaga.objects.update(version=9, order_status="delivered")
    Payment.objects.update(version=9, state="refunded")
    OrderRow.objects.update(version=9, status="delivered")
    recover("--rows")
    assert Payment.objects.get(order_id=order).state == Payment.State.DEBITED
    with system.running():
        system.settled()
        eventually(lambda: OrderSaga.objects.filter(order_id=order).exists())
    all_is_well(system)


def test_it_refuses_while_a_subscriber_runs(system) -> None:
    with system.running():
        system.place("one")
        system.settled()
        said = eventually(lambda: "still runs" in (said := refused()) and said)
    assert "ordering-saga" in said


def test_it_refuses_while_the_event_store_runs(system, settings) -> None:
    with stores.serving(system.store) as server:
        settings.EVENTSTORE_ADDRESS = f"127.0.0.1:{server.port}"
        assert "the event store still runs" in refused()


def test_a_stream_of_a_log_that_is_not_ours_is_left_alone(system) -> None:
    with system.running():
        system.place("one")
        system.settled()
    ids = system.broker.ids()
    tampering.cut_tail(system.store, 0)
    tampering.run_sql("UPDATE eventstore_stream SET log_id = gen_random_uuid()")
    tampering.fill(system.store, 3)
    assert "which is not known to be this one" in refused()
    assert system.broker.ids() == ids


def test_subscriptions_of_a_log_that_is_not_ours_are_left_alone(system) -> None:
    with system.running():
        system.place("one")
        system.settled()
    system.broker.js(lambda js: js.delete_stream(STREAM))
    tampering.run_sql("UPDATE eventstore_stream SET log_id = gen_random_uuid()")
    assert "has followed log" in refused()


def test_a_log_takes_no_new_id_that_it_can_not_tell_of(system, monkeypatch) -> None:
    # From before such ids were refused: the aggregate has another type.
    monkeypatch.setattr(validation, "OWN_PREFIX", "the log's:")
    system.store.append([new_event("log:ORDERS")])
    before = system.store.head()
    with pytest.raises(InvalidEvent):
        recovery.go_on(system.store.database, before, [before.log_id], kept=1)
    assert system.store.head() == before


def test_nats_away_is_said_so(system) -> None:
    system.broker.kill()
    assert "NATS is away" in refused()


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("", 1), (None, 2)])
def test_nothing_is_done_without_a_yes(system, monkeypatch, answer, code) -> None:
    with system.running():
        system.place("one")
        system.settled()
    tampering.cut_tail(system.store, 1)

    def ask(question: str) -> str:
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", ask)
    with pytest.raises(CommandError) as refusal:
        call_command("recover_log", stdout=StringIO(), stderr=StringIO())
    assert refusal.value.returncode == code
    assert system.store.head().position == 1
