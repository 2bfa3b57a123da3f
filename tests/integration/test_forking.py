"""The fork server: what it starts is what `python` would have started, with less memory."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from orders_site.embedded.forking import Fork

ROOT = Path(__file__).resolve().parents[2]
MIB = 1024 * 1024
PATIENCE_SECONDS = 30.0

# Makes a fork server, starts what is asked for on its standard input, and says what became of it.
MAKER = """
import json, os, sys
from pathlib import Path
from orders_site.embedded import forking
from orders_site.embedded.forking import ForkServer
forking.ANSWER_SECONDS = 3.0
ballast = [os.urandom(1024) for _ in range(int(sys.argv[1]) * 1024)]
forks = ForkServer("fork server of a test")
print(forks.pid, flush=True)
for line in sys.stdin:
    folder, output, *arguments = json.loads(line)
    with open(output, "ab") as log:
        child = forks.start(arguments, Path(folder), log.fileno())
    print(type(child).__name__, child.pid, flush=True)
    print(child.wait(30), flush=True)
forks.stop()
"""
TELLING = """
import json, os, sys
print(json.dumps([sys.argv, os.getcwd(), __name__, os.getsid(0) == os.getpid()]))
print("and an error", file=sys.stderr)
"""
STREAMS = """
import sys
sys.__stdout__.write(sys.stdin.read() + "out ")
sys.__stderr__.write("err ")
"""
WAITING = "import time\nprint('here', flush=True)\ntime.sleep(600)\n"
LEAVING = """
import atexit, logging, sys, threading, time
atexit.register(print, "at exit")
def late():
    while threading.main_thread().is_alive():
        time.sleep(0.01)
    print("a thread")
threading.Thread(target=late).start()
sys.stdout.reconfigure(line_buffering=False)
print("words")
"""
MAKER_WITH_AN_END = """
import os, sys
from pathlib import Path
from orders_site.embedded.forking import ForkServer
try:
    forks = ForkServer("fork server of a test")
    with open(sys.argv[1], "ab") as log:
        forks.start(sys.argv[2:], Path("."), log.fileno()).wait(30)
    forks.stop()
finally:
    os.write(1, b"the end of a maker\\n")
"""


class Maker:
    """A process with a fork server."""

    def __init__(self, ballast_mib: int = 0, by: str = 'exec "$@"', passed: int = 0) -> None:
        self.process = subprocess.Popen(
            ["bash", "-c", by, "bash", sys.executable, "-c", MAKER, str(ballast_mib)],
            pass_fds=[passed] if passed else [],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.server = int(self._line())

    def start(self, arguments: Sequence[str], folder: Path, output: Path) -> tuple[str, int]:
        """What kind of process was started, and its id."""
        self.ask(arguments, folder, output)
        kind, pid = self._line().split()
        return kind, int(pid)

    def ask(self, arguments: Sequence[str], folder: Path, output: Path) -> None:
        """Have a process started, and don't wait for the answer."""
        assert self.process.stdin is not None
        request = json.dumps([str(folder), str(output), *arguments])
        print(request, file=self.process.stdin, flush=True)

    def wait(self) -> None:
        """Return when what was started last has ended."""
        assert self._line() == "0"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture
def makers():
    made: list[Maker] = []

    def make(ballast_mib: int = 0, **how: Any) -> Maker:
        made.append(Maker(ballast_mib, **how))
        return made[-1]

    yield make
    for each in made:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "telling.py"
        path.write_text(text)
        return path

    return write


def eventually(probe: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def holds(process: psutil.Process, path: Path) -> bool:
    """Whether it has the file open."""
    folder = Path(f"/proc/{process.pid}/fd")
    return any(os.readlink(each) == str(path) for each in folder.iterdir())


def ended(pid: int) -> bool:
    """Whether it is gone, or was not yet fetched by who inherited it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_fork_is_what_python_would_run(makers, script, tmp_path: Path) -> None:
    maker, path, output = makers(), script(TELLING), tmp_path / "out"
    kind, _ = maker.start([str(path), "--one", "two"], tmp_path, output)
    maker.wait()
    told, error = output.read_text().splitlines()
    assert kind == "Fork"
    assert json.loads(told) == [[str(path), "--one", "two"], str(tmp_path), "__main__", True]
    assert error == "and an error"


def test_a_fork_runs_a_module_too(makers, tmp_path: Path) -> None:
    maker, output = makers(), tmp_path / "out"
    maker.start(["-m", "this"], tmp_path, output)
    maker.wait()
    assert "Namespaces are one honking great idea" in output.read_text()


def test_what_a_fork_does_not_change_is_not_in_memory_again(makers, script, tmp_path: Path) -> None:
    maker, output = makers(ballast_mib=100), tmp_path / "out"
    _, pid = maker.start([str(script(WAITING))], tmp_path, output)
    eventually(lambda: "here" in output.read_text())
    used = psutil.Process(pid).memory_full_info()
    os.kill(pid, signal.SIGKILL)
    maker.wait()
    assert used.rss > 100 * MIB
    assert used.uss < 30 * MIB


def outcome_of(script: Path, output: Path) -> tuple[list[str], list[str]]:
    """What is written by a fork and by its maker, which has a `finally` around all it does."""
    arguments = [sys.executable, "-c", MAKER_WITH_AN_END, str(output), str(script)]
    made = subprocess.run(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=60)
    return output.read_text().splitlines(), made.stdout.splitlines()


@pytest.mark.parametrize(
    ("end", "said"),
    [("", []), ("sys.exit()", []), ("sys.exit(3)", []), ("sys.exit('in words')", ["in words"])],
)
def test_a_fork_ends_as_python_does_and_in_no_frame_of_its_maker(
    script, tmp_path: Path, end: str, said: list[str]
) -> None:
    fork, maker = outcome_of(script(LEAVING + end), tmp_path / "out")
    assert sorted(fork) == sorted(["words", "a thread", "at exit", *said])
    assert maker == ["the end of a maker"]


def test_a_fork_that_fails_shows_its_own_traceback_and_ends_in_no_frame_of_its_maker(
    script, tmp_path: Path
) -> None:
    fork, maker = outcome_of(script("raise KeyError('why')"), tmp_path / "out")
    assert (fork[0], fork[-1]) == ("Traceback (most recent call last):", "KeyError: 'why'")
    assert maker == ["the end of a maker"]


@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP])
def test_without_its_server_a_process_is_started_anew(
    makers, script, tmp_path: Path, fate: signal.Signals
) -> None:
    maker, output = makers(), tmp_path / "out"
    os.kill(maker.server, fate)
    kind, _ = maker.start([str(script(TELLING)), "x"], tmp_path, output)
    maker.wait()
    assert kind == "Popen"
    assert output.read_text().count('"x"') == 1
    eventually(lambda: ended(maker.server))


def test_the_server_ends_with_its_maker_and_what_it_forked_lives_on(
    makers, script, tmp_path: Path
) -> None:
    maker, output = makers(), tmp_path / "out"
    _, pid = maker.start([str(script(WAITING))], tmp_path, output)
    eventually(lambda: "here" in output.read_text())
    maker.process.kill()
    maker.process.wait()
    eventually(lambda: ended(maker.server))
    forked = psutil.Process(pid)
    assert forked.is_running()
    forked.kill()


def test_what_the_caller_of_the_maker_left_open_is_closed_in_a_fork(
    makers, script, tmp_path: Path
) -> None:
    held = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    maker, output = makers(passed=held), tmp_path / "out"
    os.close(held)
    _, pid = maker.start([str(script(WAITING))], tmp_path, output)
    eventually(lambda: "here" in output.read_text())
    maker.process.kill()
    maker.process.wait()
    eventually(lambda: ended(maker.server))
    forked = psutil.Process(pid)
    try:
        with (tmp_path / "lock").open() as again:
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        forked.kill()


def test_a_fork_has_its_streams_where_its_maker_has_none(makers, script, tmp_path: Path) -> None:
    # Of its standard output the maker has need itself.
    maker, output = makers(by='exec "$@" 2>&-'), tmp_path / "out"
    maker.start([str(script(STREAMS))], tmp_path, output)
    maker.wait()
    assert sorted(output.read_text().split()) == ["err", "out"]


def test_the_end_of_a_fork_is_told_where_the_caller_ignores_the_ends_of_children(
    makers, script, tmp_path: Path
) -> None:
    ignoring = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
    ignoring += "os.execv(sys.argv[1], sys.argv[1:])"
    maker, output = makers(by=f"exec {sys.executable} -c '{ignoring}' \"$@\""), tmp_path / "out"
    for _ in range(2):
        kind, _ = maker.start([str(script(TELLING))], tmp_path, output)
        maker.wait()
        assert kind == "Fork"
    maker.process.stdin.close()
    assert maker.process.wait(PATIENCE_SECONDS) == 0


def test_a_fork_whose_asker_was_killed_meanwhile_does_not_run(
    makers, script, tmp_path: Path
) -> None:
    maker, output = makers(), tmp_path / "out"
    os.mkfifo(output)
    reader = os.open(output, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    os.kill(maker.server, signal.SIGSTOP)
    maker.ask([str(script(TELLING))], tmp_path, output)
    asker = psutil.Process(maker.process.pid)
    eventually(lambda: holds(asker, output) and asker.status() == psutil.STATUS_SLEEPING)
    maker.process.kill()
    maker.process.wait()
    os.kill(maker.server, signal.SIGCONT)
    with open(reader) as told:
        assert told.read() == ""  # to the end: nobody holds it any more
    eventually(lambda: ended(maker.server))


def test_a_fork_is_told_of_and_killed_by_its_handle() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    fork = Fork(child.pid, os.pidfd_open(child.pid))
    assert fork.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        fork.wait(0.05)
    fork.kill()
    assert fork.wait(PATIENCE_SECONDS) == 0
    assert child.wait() == -signal.SIGKILL
    # By now the id may be another's.
    fork.send_signal(signal.SIGTERM)
    assert fork.poll() == 0
