"""`verify_log` against a log that somebody with every right tampered with."""

import json
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from eventstore.client.errors import Unavailable
from eventstore.integrity import audit
from eventstore.store import SqlEventStore
from tests.contract import stores
from tests.integration import tampering
from tests.together import together

pytestmark = pytest.mark.django_db(databases=["eventstore"], transaction=True)
EVENTS = 150  # more than the first page


@pytest.fixture
def store():
    with stores.sql() as store:
        tampering.fill(store, EVENTS)
        yield store


@pytest.fixture(autouse=True)
def _no_checkpoints(settings, tmp_path) -> None:
    settings.CHECKPOINT_DIR = str(tmp_path / "checkpoints")


def verify(*arguments: str) -> str:
    out = StringIO()
    call_command("verify_log", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def differences(*arguments: str, code: int = 1) -> str:
    """What it says; it must find something."""
    out = StringIO()
    with pytest.raises(CommandError) as refused:
        call_command("verify_log", *arguments, stdout=out, stderr=StringIO())
    assert refused.value.returncode == code
    return out.getvalue() + str(refused.value)


def report(tmp_path, *arguments: str) -> dict[str, Any]:
    path = tmp_path / "report.json"
    differences("--stream=ORDERS", f"--json={path}", *arguments)
    (stream,) = json.loads(path.read_text())["streams"]
    return stream


def places(tmp_path, *arguments: str) -> list[int]:
    return [finding["position"] for finding in report(tmp_path, *arguments)["findings"]]


def test_a_log_that_is_right_is_right(store) -> None:
    said = verify()
    assert "ORDERS: 150 events checked up to 150" in said
    assert "OTHER: 0 events checked up to 0" in said
    assert said.endswith("the log is right\n")


def test_the_report_says_what_was_checked(store, tmp_path) -> None:
    path = tmp_path / "report.json"
    verify(f"--json={path}")
    content = json.loads(path.read_text())
    assert content["right"] is True
    orders = content["streams"][0]
    assert (orders["stream"], orders["events"], orders["last"]) == ("ORDERS", EVENTS, EVENTS)
    assert orders["log_id"] == str(store.head().log_id)


def test_the_report_may_go_to_standard_output_alone(store) -> None:
    assert json.loads(verify("--json=-"))["right"] is True


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("data", "{}"),
        ("metadata", "{}"),
        ("event_type", "order-paid"),
        ("recorded_at", "2026-01-01T00:00:00Z"),
        ("event_id", str(uuid4())),
        ("aggregate_type", "basket"),
    ],
)
def test_an_edited_event_is_named(store, tmp_path, column, value) -> None:
    tampering.edit(77, column, value)
    assert places(tmp_path)[0] == 77


def test_a_changed_hash_is_named(store, tmp_path) -> None:
    tampering.edit(77, "hash", bytes(32))
    assert places(tmp_path) == [77, 78]


def test_deleted_events_are_named(store, tmp_path) -> None:
    tampering.delete(60, 70)
    findings = report(tmp_path)["findings"]
    assert findings[0] == {"position": 60, "what": "the events from 60 to 70 are missing"}


def test_the_first_event_missing_is_named(store, tmp_path) -> None:
    tampering.delete(1, 1)
    assert places(tmp_path)[0] == 1


def test_an_event_that_was_put_in_is_named(store, tmp_path) -> None:
    with tampering.without_trigger():
        tampering.run_sql(
            "UPDATE eventstore_event SET position = position + 1000 WHERE position > 80"
        )
        tampering.run_sql(
            "UPDATE eventstore_event SET position = position - 999 WHERE position > 80"
        )
    tampering.run_sql(
        "INSERT INTO eventstore_event SELECT %s, event_type, 'order-9', aggregate_type, data, "
        "metadata, stream, 1, 81, recorded_at, hash FROM eventstore_event WHERE position = 80",
        uuid4(),
    )
    tampering.run_sql("UPDATE eventstore_stream SET position = 151 WHERE name = 'ORDERS'")
    assert places(tmp_path)[0] == 81


def test_events_that_changed_places_are_named(store, tmp_path) -> None:
    tampering.swap(20, 101)
    assert {20, 101} <= set(places(tmp_path))


def test_a_tail_cut_off_below_the_head_is_named(store, tmp_path) -> None:
    tampering.delete(140, 150)
    (finding,) = report(tmp_path)["findings"]
    assert finding["position"] == 140
    assert "the tail was cut off" in finding["what"]


def test_events_beyond_the_head_are_named(store, tmp_path) -> None:
    tampering.run_sql("UPDATE eventstore_stream SET position = 120 WHERE name = 'ORDERS'")
    assert places(tmp_path) == [121, 120]


def test_a_head_with_another_hash_is_named(store, tmp_path) -> None:
    tampering.move_head(EVENTS, bytes(32))
    assert places(tmp_path) == [EVENTS]


def test_a_stream_without_its_head_row_is_found(store) -> None:
    tampering.run_sql("DELETE FROM eventstore_stream WHERE name = 'ORDERS'")
    assert "ORDERS: there are events, up to 150, but no head row" in differences()


def test_an_effect_before_its_cause_is_named_though_all_is_hashed_anew(store, tmp_path) -> None:
    later = next(store.read_stream(120, limit=1)).event_id
    tampering.edit(40, "metadata", json.dumps({"causation_id": str(later)}))
    tampering.rehash(list(store.read_stream()))
    (finding,) = report(tmp_path)["findings"]
    assert finding == {
        "position": 40,
        "what": "the event comes before its cause, which is at 120",
    }


def test_versions_out_of_order_are_named_though_all_is_hashed_anew(store, tmp_path) -> None:
    tampering.swap(11, 66)  # both of order-0
    tampering.rehash(list(store.read_stream()))
    told = report(tmp_path)["findings"]
    versions = [f["position"] for f in told if "before version" in f["what"]]
    assert versions == [11, 16]  # version 14 stands before 13 now, and 4 before 3


def test_two_events_at_one_position_are_found_at_any_place_of_a_page(store, tmp_path) -> None:
    tampering.run_sql("ALTER TABLE eventstore_event DROP CONSTRAINT eventstore_one_per_position")
    try:
        for position in (64, 65, 66):
            tampering.run_sql(
                "INSERT INTO eventstore_event SELECT gen_random_uuid(), event_type, %s, "
                "aggregate_type, data, metadata, stream, 1, position, recorded_at, hash "
                "FROM eventstore_event WHERE position = %s LIMIT 1",
                *(f"twin-{position}", position),
            )
        told = [f for f in report(tmp_path)["findings"] if "a second event" in f["what"]]
        assert [finding["position"] for finding in told] == [64, 65, 66]
    finally:
        with tampering.without_trigger():
            tampering.run_sql("DELETE FROM eventstore_event WHERE aggregate_id LIKE 'twin-%%'")
        tampering.run_sql(
            "ALTER TABLE eventstore_event ADD CONSTRAINT eventstore_one_per_position "
            "UNIQUE (stream, position)"
        )


def test_it_may_begin_anywhere(store, tmp_path) -> None:
    tampering.edit(20, "data", "{}")
    assert "120 events checked up to 150" in verify("--from=31")
    assert places(tmp_path, "--from=20") == [20]
    tampering.delete(100, 100)
    assert places(tmp_path, "--from=101")[0] == 100
    assert "0 events checked" in verify("--from=151", "--stream=ORDERS")


def test_a_log_that_ends_before_where_it_should_begin_is_not_called_right(store, tmp_path) -> None:
    report = tmp_path / "report.json"
    said = differences("--from=152", f"--json={report}", code=2)
    assert "nothing was checked: the log ends at 150" in said
    assert json.loads(report.read_text())["right"] is False


@pytest.mark.parametrize(
    "arguments",
    [["--from=0"], ["--from=-1"], ["--from=x"], ["--from=٣"], [f"--from={2**63}"], ["--stream="]],
)
def test_what_is_no_position_or_stream_is_called_wrongly(store, arguments) -> None:
    with pytest.raises(CommandError, match=r"is a position|is the name"):
        verify(*arguments)


def test_a_stream_that_is_not_there_is_called_wrongly(store) -> None:
    assert "there is no stream NONE" in differences("--stream=NONE", code=2)


def test_a_report_that_cannot_be_written_fails(store, tmp_path) -> None:
    assert "can't be written" in differences(f"--json={tmp_path}/no/such/folder")


def test_what_is_appended_meanwhile_is_no_difference(store) -> None:
    def append() -> None:
        tampering.fill(store, 60)

    def verify_often() -> None:
        for _ in range(10):
            verify()

    together([append, verify_often])
    assert "210 events checked" in verify()


def test_a_flood_of_differences_is_counted_and_not_kept(store, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(audit, "MOST_FINDINGS", 10)
    with tampering.without_trigger():
        tampering.run_sql("UPDATE eventstore_event SET hash = %s", bytes(32))
    content = report(tmp_path)
    assert (len(content["findings"]), content["found"]) == (10, EVENTS + 1)
    assert differences().count("position") == 100


def test_a_database_that_is_away_is_said_so(store, monkeypatch) -> None:
    def away(*_: Any) -> None:
        raise Unavailable

    monkeypatch.setattr(audit.LogDatabase, "read", away)
    assert "the log can't be read" in differences()


def test_an_interrupted_run_says_how_to_go_on(store, monkeypatch) -> None:
    checked = audit.ChainCheck.check

    def interrupted(self: Any, page: Any, around: Any) -> Any:
        if page[0].position > 1:
            raise KeyboardInterrupt
        return checked(self, page, around)

    monkeypatch.setattr(audit.ChainCheck, "check", interrupted)
    assert "--stream=ORDERS --from=64" in differences("--stream=ORDERS", code=130)


def test_an_empty_database_is_right() -> None:
    with connections["eventstore"].cursor() as cursor:
        cursor.execute("DELETE FROM eventstore_stream")
    assert verify() == "the log is right\n"


def test_the_position_of_each_page_is_reached(store: SqlEventStore) -> None:
    run = audit.Audit(store.database, "ORDERS")
    assert list(run.run())[-1] == EVENTS
    assert run.total == EVENTS
