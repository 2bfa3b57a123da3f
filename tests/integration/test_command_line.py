"""What every command does when nobody reads its output, and with options that make no sense."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MANAGE = f"{sys.executable} {ROOT / 'manage.py'}"


def shell(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)


def test_a_command_whose_output_was_closed_runs_to_its_end() -> None:
    done = shell(f"{MANAGE} check >&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_whose_reader_is_gone_stops_without_a_traceback() -> None:
    done = shell(f"{MANAGE} check | true; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (1, "")


def test_ctrl_c_while_a_command_still_loads_leaves_no_traceback() -> None:
    # A module that Django loads early, and that the interrupt finds loading.
    interrupted = "import signal; signal.raise_signal(signal.SIGINT)"
    finder = f"""
import sys, runpy
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
