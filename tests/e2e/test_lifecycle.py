"""The life of `manage.py up`: second start, taken port, killed supervisor, clean stop."""

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from orders_site.embedded.ports import free_port
from tests.e2e.system import ROOT, System, free_ports


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


def test_all_taken_ports_are_named_before_anything_starts(own: System) -> None:
    metrics = free_ports(8)
    own.environment["ORDERS_METRICS_PORT"] = str(metrics)
    taken = {
        own.ports["NATS"]: "ORDERS_NATS_PORT",
        own.ports["WEB"]: "ORDERS_WEB_PORT",
        metrics + 3: "ORDERS_METRICS_PORT",
    }
    with contextlib.ExitStack() as squatters:
        for port in taken:
            squatters.enter_context(socket.create_server(("127.0.0.1", port)))
        refused = own.manage("up", "--quiet")
    assert refused.returncode == 1
    lines = refused.stderr.removeprefix("CommandError: ").splitlines()
    assert len(lines) == 3
    for port, setting in taken.items():
        [line] = [line for line in lines if line.startswith(f"port {port} is taken")]
        assert line.endswith(f"set {setting} to another")
    assert "Stopped" not in refused.stdout
    assert not (own.data_dir / "postgres").exists()
    assert own.processes() == []


def test_a_second_one_on_the_same_data_is_refused_and_the_first_runs_on(own: System) -> None:
    own.start()
    for _ in range(2):
        refused = own.manage("up", "--quiet")
        assert refused.returncode == 1
        assert "is already run by process" in refused.stderr
        assert "nothing is left running" not in refused.stdout
        # On other ports it is the data that is taken.
        own.environment |= {f"ORDERS_{name}_PORT": str(free_port()) for name in own.ports}
    order_id = own.place("19.00")
    own.reaches(order_id, "approved", "debited")
    assert own.stop() == 0


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
