"""Signed checkpoints: signing them, and what they give away that the database alone can't."""

import errno
import os
import stat
import subprocess
from io import StringIO
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as other_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command

from eventstore.client.connection import use
from eventstore.client.memory import InMemoryEventStore
from eventstore.integrity.checkpoints import SignedCheckpoint
from eventstore.integrity.signing import KeyUnusable, LogContradicts, Signer, key_path, signing_key
from eventstore.tasks import sign_checkpoint
from tests.contract import stores
from tests.integration import tampering
from tests.together import together

database = pytest.mark.django_db(databases=["eventstore"], transaction=True)


@pytest.fixture(autouse=True)
def folder(settings, tmp_path) -> Path:
    """Where checkpoints go, with a key of this test's own."""
    settings.DATA_DIR = tmp_path
    settings.CHECKPOINT_DIR = str(tmp_path / "checkpoints")
    settings.CHECKPOINT_KEY_FILE = ""
    return tmp_path / "checkpoints"


@pytest.fixture
def store():
    with stores.sql() as store:
        use(store)
        tampering.fill(store, 40)
        yield store
        use(None)


def verify(*arguments: str) -> str:
    out = StringIO()
    call_command("verify_log", "--stream=ORDERS", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def differences(*arguments: str) -> str:
    out = StringIO()
    with pytest.raises(CommandError, match="difference"):
        call_command("verify_log", "--stream=ORDERS", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def sign() -> str:
    out = StringIO()
    call_command("sign_checkpoint", stdout=out)
    return out.getvalue()


def pem(key, name: str, folder: Path) -> Path:
    path = folder / name
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


@database
def test_a_log_with_its_checkpoints_is_right(store, folder) -> None:
    for _ in range(3):
        tampering.fill(store, 10)
        sign()
    assert "3 signed checkpoints vouch for those up to 70, 0 differences" in verify()
    assert "1 signed checkpoints vouch for those up to 70" in verify("--from=65")


@database
def test_nothing_new_is_signed_once(store, folder) -> None:
    assert "position 40 in" in sign()
    assert "nothing new" in sign()
    assert len((folder / "ORDERS.jsonl").read_bytes().splitlines()) == 1


@database
def test_a_chain_that_was_rewritten_whole_is_found(store) -> None:
    sign()
    tampering.fill(store, 10)
    sign()
    tampering.edit(45, "data", '{"amount": "1.00"}')
    tampering.rehash(list(store.read_stream()))
    verify("--no-checkpoints")
    said = differences()
    assert "position 50: by the checkpoint signed at" in said
    assert "the log was rewritten somewhere after 40 and up to here" in said


@database
def test_a_tail_that_was_cut_off_is_found(store) -> None:
    sign()
    tampering.cut_tail(store, 30)
    verify("--no-checkpoints")
    assert "position 31: by the checkpoint signed at" in (said := differences())
    assert "the log had reached 40, it ends at 30 now: the tail was cut off" in said


@database
def test_a_log_that_was_replaced_is_found(store) -> None:
    sign()
    tampering.run_sql("UPDATE eventstore_stream SET log_id = %s", uuid4())
    assert "the log was" in differences()


@database
def test_a_log_that_is_gone_is_found(store) -> None:
    sign()
    tampering.delete(1, 40)
    tampering.run_sql("DELETE FROM eventstore_stream")
    assert "there is none now" in differences()


@database
@pytest.mark.parametrize("tail", [b'{"hash":"00', b"\0" * 100], ids=["torn", "zeros"])
def test_a_torn_line_is_told_and_no_difference_and_signing_goes_on(store, folder, tail) -> None:
    sign()
    with (folder / "ORDERS.jsonl").open("ab") as file:
        file.write(tail)
    assert "line 2 is cut short, as an interrupted write leaves it" in verify()
    tampering.fill(store, 1)
    sign()
    said = verify()
    assert "line 2 is cut short" in said
    assert "2 signed checkpoints vouch for those up to 41" in said


@database
def test_a_changed_line_is_a_difference(store, folder) -> None:
    sign()
    path = folder / "ORDERS.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"position":40', b'"position":39'))
    assert "line 1 of the signed checkpoints was changed" in differences()


@database
def test_checkpoints_of_another_stream_are_a_difference(store, folder) -> None:
    sign()
    (folder / "ORDERS.jsonl").rename(folder / "OTHER.jsonl")
    with pytest.raises(CommandError, match="1 difference"):
        call_command("verify_log", "--stream=OTHER", stdout=StringIO(), stderr=StringIO())


@database
def test_the_log_is_verified_elsewhere_with_the_public_key_alone(store, folder, tmp_path) -> None:
    sign()
    public = tmp_path / "public.pem"
    subprocess.run(
        ["openssl", "pkey", "-in", key_path(), "-pubout", "-out", public],
        check=True,
        capture_output=True,
    )
    key_path().unlink()
    assert "unknown key" in differences()
    assert "1 signed checkpoints vouch" in verify(f"--public-key={public}")
    public.write_text("nonsense")
    with pytest.raises(CommandError, match="can't be read as a public key"):
        verify(f"--public-key={public}")


@database
def test_a_log_that_contradicts_its_last_checkpoint_is_not_signed(store, folder, caplog) -> None:
    sign()
    tampering.cut_tail(store, 30)
    with pytest.raises(CommandError, match="had the log at 40, it ends at 30 now"):
        sign()
    tampering.fill(store, 20)
    with pytest.raises(CommandError, match="has another hash at 40"):
        sign()
    sign_checkpoint()
    assert "verify_log" in caplog.text
    assert len((folder / "ORDERS.jsonl").read_bytes().splitlines()) == 1


def test_a_head_that_is_not_its_event_is_not_signed(folder) -> None:
    log = InMemoryEventStore()
    tampering.fill(log, 3)
    log._heads["ORDERS"] = type(log.head())(
        stream="ORDERS", log_id=log.head().log_id, position=3, hash=bytes(32)
    )
    with pytest.raises(LogContradicts, match="head's hash"):
        Signer.from_settings(log).sign("ORDERS")


def test_an_empty_log_is_not_signed(folder) -> None:
    assert Signer.from_settings(InMemoryEventStore()).sign("ORDERS") is None
    assert not (folder / "ORDERS.jsonl").exists()


def test_many_signers_at_once_write_whole_lines_in_order(folder) -> None:
    log = InMemoryEventStore()
    tampering.fill(log, 1)
    signers = [Signer.from_settings(log) for _ in range(8)]

    def sign_often(signer: Signer) -> None:
        for _ in range(10):
            tampering.fill(log, 1)
            signer.sign("ORDERS")

    together([lambda signer=signer: sign_often(signer) for signer in signers])
    lines = list(signers[0].file("ORDERS").lines())
    assert all(isinstance(line, SignedCheckpoint) for line in lines)
    positions = [line.position for line in lines]
    assert positions == sorted(set(positions))
    assert len({signer.key.private_bytes_raw() for signer in signers}) == 1


def test_the_key_is_generated_once_for_its_owner_only(folder) -> None:
    keys = together([signing_key] * 6)
    assert len({key.private_bytes_raw() for key in keys}) == 1
    assert stat.S_IMODE(os.stat(key_path()).st_mode) == 0o600
    assert [path.name for path in key_path().parent.iterdir()] == [key_path().name]


def test_a_key_may_be_given(settings, tmp_path) -> None:
    key = Ed25519PrivateKey.generate()
    settings.CHECKPOINT_KEY_FILE = str(pem(key, "own.pem", tmp_path))
    assert signing_key().private_bytes_raw() == key.private_bytes_raw()


@pytest.mark.parametrize("content", ["", "nonsense"])
def test_a_key_that_is_none_is_refused(settings, tmp_path, content) -> None:
    (tmp_path / "own.pem").write_text(content)
    settings.CHECKPOINT_KEY_FILE = str(tmp_path / "own.pem")
    with pytest.raises(KeyUnusable, match="can't be read as a key"):
        signing_key()
    with pytest.raises(CommandError, match="can't be read as a key"):
        sign()
    sign_checkpoint()


def test_a_key_of_another_kind_is_refused(settings, tmp_path) -> None:
    settings.CHECKPOINT_KEY_FILE = str(pem(other_key(SECP256R1()), "own.pem", tmp_path))
    with pytest.raises(KeyUnusable, match="not an Ed25519 key"):
        signing_key()


def test_production_generates_no_key(settings, caplog) -> None:
    settings.PRODUCTION = True
    use(InMemoryEventStore())
    try:
        sign_checkpoint()
    finally:
        use(None)
    assert "ORDERS_CHECKPOINT_KEY_FILE is not set" in caplog.text
    assert not key_path().exists()


def test_a_folder_that_cannot_be_written_is_told(settings, tmp_path, caplog) -> None:
    log = InMemoryEventStore()
    tampering.fill(log, 1)
    (tmp_path / "file").write_text("")
    settings.CHECKPOINT_DIR = str(tmp_path / "file")
    use(log)
    try:
        sign_checkpoint()
        with pytest.raises(CommandError, match="can't be written"):
            sign()
    finally:
        use(None)
    assert "the checkpoint can't be written" in caplog.text


def test_celery_beat_signs() -> None:
    from orders_site.celery import app

    app.loader.import_default_modules()
    schedule = django_settings.CELERY_BEAT_SCHEDULE["sign-checkpoint"]
    assert schedule["task"] == sign_checkpoint.name
    assert schedule["task"] in app.tasks
    assert schedule["schedule"] == django_settings.CHECKPOINT_INTERVAL_SECONDS


def test_a_key_is_made_once_where_the_settings_say(settings, tmp_path) -> None:
    settings.PRODUCTION = True
    settings.CHECKPOINT_KEY_FILE = str(tmp_path / "new" / "key.pem")
    for _ in range(2):
        call_command("sign_checkpoint", "--create-key", stdout=StringIO())
    made = Path(settings.CHECKPOINT_KEY_FILE)
    first = made.read_bytes()
    assert made.stat().st_mode & 0o777 == 0o600
    call_command("sign_checkpoint", "--create-key", stdout=StringIO())
    assert made.read_bytes() == first


class Full(StringIO):
    """A file on a disk that has no room."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@database
@pytest.mark.parametrize(
    "command",
    [
        "verify_log",
        "sign_checkpoint",
        "sign_checkpoint --create-key",
        "import_log --check",
        "export",
    ],
)
def test_output_that_finds_no_room_is_not_taken_for_a_file_that_the_command_works_on(
    store, tmp_path, command: str
) -> None:
    """`manage.py` says it in a line, as for every command."""
    archive = str(tmp_path / "orders.jsonl.gz")
    if command != "sign_checkpoint --create-key":
        call_command("sign_checkpoint", "--create-key", stdout=StringIO())
    if command == "import_log --check":
        call_command("export_log", archive, stdout=StringIO(), stderr=StringIO())
    arguments = {
        "import_log --check": ["import_log", archive, "--check"],
        "export": ["export_log", archive],
    }.get(command, command.split())
    with pytest.raises(OSError, match="No space left"):
        call_command(*arguments, stdout=Full(), stderr=StringIO())
