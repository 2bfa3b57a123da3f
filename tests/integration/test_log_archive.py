"""Export and import of the log: what comes back is what went out, or nothing does."""

import fcntl
import gzip
import json
from io import StringIO
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from eventstore.backup import archive, importing
from eventstore.client import Unavailable
from eventstore.store import SqlEventStore
from tests.contract import stores
from tests.contract.new_events import new_event
from tests.contract.test_event_store import assert_gapless
from tests.integration import tampering

pytestmark = pytest.mark.django_db(databases=["eventstore"], transaction=True)


@pytest.fixture(autouse=True)
def _small(monkeypatch, settings, tmp_path) -> None:
    monkeypatch.setattr(archive, "MEMBER_EVENTS", 20)
    monkeypatch.setattr(archive, "READ_BYTES", 1_000)
    monkeypatch.setattr(importing, "BATCH_EVENTS", 7)
    settings.CHECKPOINT_DIR = str(tmp_path / "checkpoints")


@pytest.fixture
def store():
    with stores.sql() as store:
        tampering.fill(store, 50)
        store.append([new_event("ü-1", data='{"a":  "\\u00fc\\n"}', metadata='{ "x":1}')])
        yield store


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "orders.jsonl.gz"


def run(command: str, *arguments: object) -> str:
    out = StringIO()
    call_command(command, *map(str, arguments), stdout=out, stderr=StringIO())
    return out.getvalue()


def refused(command: str, *arguments: object) -> str:
    with pytest.raises(CommandError) as refusal:
        run(command, *arguments)
    assert refusal.value.returncode == 1
    return str(refusal.value)


def empty() -> None:
    """A new database."""
    tampering.delete(-(2**62), 2**62)
    tampering.run_sql("DELETE FROM eventstore_stream")


def test_what_comes_back_is_what_went_out(store, file) -> None:
    events, head = list(store.read_stream()), store.head()
    assert f"up to 51, whose hash is {head.hash.hex()}" in run("export_log", file)
    empty()
    assert f"log {head.log_id} (ORDERS) up to 51" in run("import_log", file)
    assert list(store.read_stream()) == events
    assert store.head() == head
    assert "the log is right" in run("verify_log")
    assert_gapless(store, 51)
    assert store.append([new_event("order-1")]).positions == (52,)


def test_an_empty_log_comes_back_under_its_id(file) -> None:
    with stores.sql() as store:
        head = store.head()
        run("export_log", file)
        empty()
        run("import_log", file)
        assert store.head() == head


def test_a_stream_that_a_first_start_made_takes_the_archives_id(store, file) -> None:
    run("export_log", file)
    head = store.head()
    empty()
    assert store.create_stream("ORDERS").log_id != head.log_id
    run("import_log", file)
    assert store.head() == head


def test_anybody_can_read_it(store, file) -> None:
    run("export_log", file)
    lines = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert lines[0] == {
        "archive": "orders event log 1",
        "stream": "ORDERS",
        "log_id": str(store.head().log_id),
    }
    assert lines[-1] == {"end": {"position": 51, "hash": store.head().hash.hex()}}
    assert lines[-2]["data"] == '{"a":  "\\u00fc\\n"}'


def test_a_later_export_adds_what_is_new(store, file) -> None:
    run("export_log", file)
    size = file.stat().st_size
    run("export_log", file)
    assert file.stat().st_size == size
    first = file.read_bytes()
    tampering.fill(store, 30)
    assert "up to 81" in run("export_log", file)
    assert file.read_bytes().startswith(first)
    events = list(store.read_stream())
    empty()
    run("import_log", file)
    assert list(store.read_stream()) == events


def test_an_export_that_was_cut_off_anywhere_goes_on(store, file) -> None:
    run("export_log", file)
    whole = file.read_bytes()
    for size in {1, len(whole) - 1, *range(10, len(whole), len(whole) // 12)}:
        file.write_bytes(whole[:size])
        assert "not finished" in refused("import_log", file)
        if size < 100:
            assert "no beginning" in refused("export_log", file)
            continue
        run("export_log", file)
        assert gzip.decompress(file.read_bytes()) == gzip.decompress(whole)


def test_zeros_after_a_power_cut_are_left_behind(store, file) -> None:
    run("export_log", file)
    whole = file.read_bytes()
    file.write_bytes(whole + bytes(5_000))
    tampering.fill(store, 1)
    run("export_log", file)
    assert run("import_log", file, "--check").startswith(f"{file} is right")
    assert file.read_bytes().startswith(whole)


def test_an_import_that_was_interrupted_goes_on(store, file, monkeypatch) -> None:
    run("export_log", file)
    events = list(store.read_stream())
    empty()
    add, calls = importing.add, []

    def interrupted(*arguments, **named):
        calls.append(None)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return add(*arguments, **named)

    monkeypatch.setattr(importing, "add", interrupted)
    with pytest.raises(CommandError, match="run it again"):
        run("import_log", file)
    assert store.head().position == 21
    assert run("import_log", file).startswith("imported log")
    assert list(store.read_stream()) == events
    assert run("import_log", file).startswith("nothing was new: it has log")


def changed(file: Path, line: int, **changes: object) -> None:
    lines = gzip.decompress(file.read_bytes()).splitlines()
    lines[line] = json.dumps({**json.loads(lines[line]), **changes}).encode()
    file.write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))


@pytest.mark.parametrize(
    ("line", "changes", "words"),
    [
        (9, {"data": "{}"}, "line 10: the event at 9 is not what its hash says"),
        (9, {"position": 10}, "line 10: position 10 after 8"),
        (9, {"position": True}, "line 10 is not of an archive"),
        (9, {"version": "2"}, "line 10 is not of an archive"),
        (9, {"event_id": 7}, "line 10 is not of an archive"),
        (9, {"recorded_at": "yesterday"}, "line 10 is not of an archive"),
        (9, {"hash": "zz"}, "line 10 is not of an archive"),
        (0, {"archive": "another"}, "not an archive"),
        (0, {"log_id": 5}, "line 1 is not of an archive"),
        (52, {"end": {"position": 50, "hash": ""}}, "not where it ends"),
        (52, {"end": 5}, "line 53 is not of an archive"),
    ],
)
def test_an_archive_that_was_changed_is_refused_before_anything_is_imported(
    store, file, line, changes, words
) -> None:
    run("export_log", file)
    changed(file, line, **changes)
    empty()
    assert words in refused("import_log", file)
    assert "no stream" in str(_usage("export_log", file))


def _usage(command: str, *arguments: object) -> CommandError:
    with pytest.raises(CommandError) as refusal:
        run(command, *arguments)
    assert refusal.value.returncode == 2
    return refusal.value


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"plain text",
        gzip.compress(b""),
        gzip.compress(b"\n"),
        gzip.compress(b"[]\n"),
        gzip.compress(b"{}\n"),
        gzip.compress(b"\xff\n"),
        gzip.compress(b"[" * 100_000 + b"\n"),
        gzip.compress(b"0" * 20_000_000),
    ],
    ids=range(9),
)
def test_what_is_no_archive_is_refused(store, file, content) -> None:
    file.write_bytes(content)
    refused("import_log", file, "--check")
    if content:
        refused("export_log", file)
        assert file.read_bytes() == content


def test_a_file_that_is_not_there_is_said_so(file) -> None:
    assert "can't be read: No such file" in refused("import_log", file)


def test_a_folder_that_is_not_there_is_said_so(store, tmp_path) -> None:
    assert "can't be written: No such file" in refused("export_log", tmp_path / "no" / "file")


def test_a_store_that_has_events_takes_no_other_log(store, file) -> None:
    run("export_log", file)
    tampering.run_sql("UPDATE eventstore_stream SET log_id = %s", uuid4())
    events = list(store.read_stream())
    assert "is not empty" in refused("import_log", file)
    assert list(store.read_stream()) == events


def test_a_store_that_went_another_way_takes_nothing(store, file) -> None:
    run("export_log", file)
    tampering.cut_tail(store, 30)
    tampering.fill(store, 5)
    assert "has other events than the archive" in refused("import_log", file)
    assert store.head().position == 35
    tampering.fill(store, 30)
    assert "is not empty" in refused("import_log", file)


def test_an_archive_of_another_log_is_not_added_to(store, file) -> None:
    run("export_log", file)
    before = file.read_bytes()
    tampering.cut_tail(store, 30)
    assert "it goes up to 51, the log only to 30" in refused("export_log", file)
    tampering.run_sql("UPDATE eventstore_stream SET log_id = %s", uuid4())
    assert "export into a new file" in refused("export_log", file)
    assert file.read_bytes() == before


def test_an_archive_that_the_log_does_not_follow_on_is_not_added_to(store, file) -> None:
    run("export_log", file)
    tampering.cut_tail(store, 45)
    tampering.fill(store, 30)
    assert "the log is damaged at position 52" in refused("export_log", file)


def test_a_damaged_log_is_not_exported_as_if_it_were_whole(store, file) -> None:
    tampering.edit(30, "data", "{}")
    assert "the log is damaged at position 30" in refused("export_log", file)
    assert "not finished" in refused("import_log", file)


def test_two_exports_into_one_file_do_not_meet(store, file) -> None:
    with file.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "another export" in refused("export_log", file)


def test_appending_meanwhile_stops_the_import(store, file, monkeypatch) -> None:
    run("export_log", file)
    empty()
    add = importing.add

    def add_after_somebody(cursor, before, events):
        if before.position == 14:
            cursor.execute("UPDATE eventstore_stream SET position = 15")
        return add(cursor, before, events)

    monkeypatch.setattr(importing, "add", add_after_somebody)
    assert "Somebody else writes" in refused("import_log", file)


def test_a_database_that_is_away_is_said_so(store, file, monkeypatch) -> None:
    def away(*_, **__):
        raise Unavailable

    run("export_log", file)
    monkeypatch.setattr(SqlEventStore, "head", away)
    assert "the log can't be read" in refused("export_log", file)
    monkeypatch.setattr(importing.LogDatabase, "commit", away)
    assert "the database is away" in refused("import_log", file)


@pytest.mark.parametrize(
    ("command", "device"), [("export_log", "/dev/full"), ("import_log", "/dev/zero")]
)
def test_a_device_is_no_archive_and_is_not_read_without_end(store, command, device) -> None:
    assert f"{device}: it is no regular file" in refused(command, device)
