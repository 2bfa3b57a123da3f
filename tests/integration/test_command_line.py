"""What every command does when nobody reads its output, and with options that make no sense."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MANAGE = f"{sys.executable} {ROOT / 'manage.py'}"

NO_ROOM = "manage.py: cannot write: No space left on device\n"


def shell(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)


def test_a_command_whose_output_was_closed_runs_to_its_end() -> None:
    done = shell(f"{MANAGE} check >&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_whose_reader_is_gone_stops_without_a_traceback() -> None:
    done = shell(f"{MANAGE} check | true; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("buffering", ["-u PYTHONUNBUFFERED", "PYTHONUNBUFFERED=1"])
@pytest.mark.parametrize("command", ["check", "help", "check --list-tags"])
def test_a_command_whose_output_finds_no_room_says_so_in_one_line(
    command: str, buffering: str
) -> None:
    done = shell(f"env {buffering} {MANAGE} {command} >/dev/full")
    assert (done.returncode, done.stderr) == (1, NO_ROOM)


def test_where_only_the_last_words_find_no_room_that_is_said_too() -> None:
    done = shell(f"env -u PYTHONUNBUFFERED {MANAGE} verify_log --help >/dev/full")
    assert (done.returncode, done.stderr) == (1, NO_ROOM)


@pytest.mark.parametrize("errors", ["2>/dev/full", "2>&-"])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("check >/dev/full", 1),
        ("check >&-", 0),
        ("check", 0),
        ("nonsense", 1),
        ("check --nonsense", 2),
    ],
)
def test_errors_that_nobody_can_be_told_do_not_change_the_exit_code(
    command: str, code: int, errors: str
) -> None:
    assert shell(f"{MANAGE} {command} {errors}").returncode == code


def test_ctrl_c_while_a_command_still_loads_leaves_no_traceback() -> None:
    # A module that Django loads early, and that the interrupt finds loading.
    interrupted = "signal.raise_signal(signal.SIGINT)"
    finder = f"""
import signal, sys, runpy
# A shell's background jobs inherit that it is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "django.apps":
            {interrupted}
sys.meta_path.insert(0, Interrupt())
sys.argv = ["manage.py", "check"]
runpy.run_path({str(ROOT / "manage.py")!r}, run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", finder], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize(
    "command",
    [
        "migrate",
        "migrate_all",
        "create_api_client shop",
        "create_demo_restaurants",
        "reconcile",
        "createsuperuser --noinput --username=a --email=a@b.example",
    ],
)
def test_a_database_that_is_away_is_said_in_one_line_without_its_password(command: str) -> None:
    names = ("", "EVENTSTORE_", "PAYMENTS_", "RESTAURANT_", "QUERIES_")
    url = "postgresql://orders:hidden-word@127.0.0.1:1/orders"
    given = " ".join(f"ORDERS_{name}DATABASE_URL={url}" for name in names)
    done = shell(f"env {given} DJANGO_SUPERUSER_PASSWORD=hidden-word {MANAGE} {command}")
    assert done.returncode == 1
    assert done.stderr.startswith("manage.py: the database failed: ")
    assert "Connection refused" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "hidden-word" not in done.stderr + done.stdout


def test_a_database_that_is_away_has_a_traceback_for_who_asks() -> None:
    url = "postgresql://127.0.0.1:1/orders"
    done = shell(f"env ORDERS_DATABASE_URL={url} {MANAGE} create_api_client shop --traceback")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        "run_web --port=99999",
        "run_web --port=0",
        "run_web --workers=-3",
        "run_worker --threads=0",
        r"verify_queries --from-order=$'\xff'",
        "verify_queries --from-position=0",
    ],
)
def test_an_option_that_makes_no_sense_is_a_matter_of_usage(arguments: str) -> None:
    done = shell(f"{MANAGE} {arguments}")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_what_up_starts_has_the_same_data_folder_wherever_it_runs(tmp_path) -> None:
    script = """
import os, django
django.setup()
from django.conf import settings
from orders_site.management.commands.up import _fork_server
forks = _fork_server(settings.DATA_DIR)
print(os.environ["ORDERS_DATA_DIR"])
forks.stop()
"""
    environment = {
        **os.environ,
        "ORDERS_DATA_DIR": "data",
        "DJANGO_SETTINGS_MODULE": "orders_site.settings",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env=environment,
    )
    assert (done.stdout.strip(), done.returncode) == (str(tmp_path / "data"), 0), done.stderr
