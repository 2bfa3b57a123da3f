"""What every command does when nobody reads its output, and with options that make no sense."""

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
        r"verify_queries --from-order=$'\xff'",
        "verify_queries --from-position=0",
    ],
)
def test_an_option_that_makes_no_sense_is_a_matter_of_usage(arguments: str) -> None:
    done = shell(f"{MANAGE} {arguments}")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
