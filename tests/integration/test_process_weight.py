"""What a process without URLs carries with it, and what a benchmark leaves behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
WORKER = """
import sys, django
from django.core.management import load_command_class
django.setup()
command = load_command_class("orders_site.ordering", "subscribe_ordering")
command.check(**command.get_check_kwargs({}))
print([name for name in sys.argv[1:] if name in sys.modules])
"""
LOADED = """
import importlib, os, django, psutil
django.setup()
from orders_site.management.commands.up import SHARED
for module in SHARED:
    importlib.import_module(module)
process = psutil.Process()
print(process.num_threads(), len(process.net_connections("all")))
"""
TEMPORARY = "orders-benchmark-"


def test_a_subscriber_checks_its_settings_without_loading_what_the_web_process_serves() -> None:
    heavy = ["orders_site.urls", "orders_site.console.admin", "payments.admin", "celery"]
    done = subprocess.run(
        [sys.executable, "-c", WORKER, *heavy],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "orders_site.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_what_is_loaded_before_the_parts_are_forked_starts_no_thread_and_opens_no_socket() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "orders_site.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["1", "0"]


def test_a_benchmark_that_is_told_to_stop_leaves_no_server_behind(tmp_path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "read", "--json", str(tmp_path / "report.json")],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait(lambda: "postgres" in of(tmp_path), 60)
        run.send_signal(signal.SIGTERM)
        assert run.wait(60) == 128 + signal.SIGTERM
    finally:
        run.kill()
    wait(lambda: not of(tmp_path), 20)
    assert not list(tmp_path.glob(f"{TEMPORARY}*"))


def of(folder: Path) -> list[str]:
    """The names of the processes that a benchmark runs in the folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if TEMPORARY in f"{' '.join(process.cmdline())}" and str(folder) in process.cwd():
                found.append(process.name())
    return found


def wait(probe, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.05)
