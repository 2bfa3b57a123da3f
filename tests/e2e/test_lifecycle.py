"""The life of `manage.py up`: second start, taken port, killed supervisor, clean stop."""

import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from orders_site.embedded.ports import free_port
from tests.e2e.system import ROOT, System


@pytest.fixture
def own() -> Iterator[System]:
    system = System()
    yield system
    for process in system.processes():
        process.kill()
    shutil.rmtree(system.data_dir, ignore_errors=True)


def test_a_second_start_keeps_the_data_also_after_the_supervisor_was_killed(own: System) -> None:
    own.start()
    # Nothing of what Celery and Granian warn of is news to whoever starts this.
    assert [line for line in own.output if "superuser" in line or "threads" in line] == []
    token = own.token
    order_id = own.place("19.00")
    row = own.reaches(order_id, "approved", "debited")
    own.kill_supervisor()
    assert own.processes()
    own.start()
    assert own.token == token
    assert own.order(order_id) == row
    another = own.place("20.00")
    own.reaches(another, "approved", "debited")
    assert own.stop() == 0
    assert own.processes() == []


def test_without_the_fork_server_a_part_comes_back_too(own: System) -> None:
    own.start()
    [server] = [each for each in own.processes() if "fork server" in " ".join(each.cmdline())]
    server.kill()
    before = own.pid("subscribe_payments")
    own.kill("subscribe_payments")
    order_id = own.place("19.00")
    own.reaches(order_id, "approved", "debited")
    assert own.pid("subscribe_payments") not in (0, before)
    assert own.stop() == 0
    assert own.processes() == []


def test_a_database_that_is_away_gives_one_clear_line_and_leaves_nothing(own: System) -> None:
    own.environment["ORDERS_PAYMENTS_DATABASE_URL"] = f"postgresql://127.0.0.1:{free_port()}/none"
    refused = own.manage("up", "--quiet")
    assert refused.returncode == 1
    assert "CommandError: the databases can't be prepared: connection" in refused.stderr
    assert "Connection refused" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert own.processes() == []


def test_a_taken_port_gives_one_clear_line_and_leaves_nothing(own: System) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", own.ports["WEB"]))
        squatter.listen()
        refused = own.manage("up", "--quiet")
    assert refused.returncode == 1
    assert f"port {own.ports['WEB']} is taken" in refused.stderr
    assert "ORDERS_WEB_PORT" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert own.processes() == []


def test_an_interrupt_in_the_middle_of_the_start_leaves_nothing(own: System) -> None:
    up = own.begin()
    own.wait_for_line("Migrated")
    up.send_signal(signal.SIGINT)
    assert up.wait(40) == 0
    assert own.processes() == []


@pytest.fixture
def hangups() -> Iterator[None]:
    """What is started meanwhile notices SIGHUP, also where the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangups")
def test_a_terminal_that_is_closed_ends_everything(own: System) -> None:
    up = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "up"],
        env=own.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert up.stdout is not None
    assert any(line.startswith(b"Migrated") for line in up.stdout)
    up.stdout.close()
    up.send_signal(signal.SIGHUP)
    assert up.wait(40) == 0
    assert own.processes() == []


def test_wrong_settings_are_all_named_at_once_and_nothing_starts(own: System) -> None:
    own.environment |= {"ORDERS_WEB_THREADS": "many", "ORDERS_DEFAULT_CURRENCY": "XXX"}
    refused = own.manage("up", "--quiet")
    assert refused.returncode == 1
    assert "ORDERS_WEB_THREADS" in refused.stderr
    assert "ORDERS_DEFAULT_CURRENCY" in refused.stderr
    assert "many" not in refused.stderr
    assert own.processes() == []


def test_the_demo_starts_the_system_itself_and_meets_every_fate(own: System) -> None:
    shown = own.manage("demo", timeout=180)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "orders met their fate" in shown.stdout
    assert own.processes() == []
