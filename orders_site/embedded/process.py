"""The lifetime of one embedded server process: start, wait until ready, stop, and whatever a killed
supervisor left behind.
"""

import contextlib
import fcntl
import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psutil

    from orders_site.embedded.forking import Child, ForkServer

_logger = logging.getLogger(__name__)

POLL_SECONDS = 0.02
LOG_KEPT_BYTES = 10_000_000


class EmbeddedServerError(Exception):
    """An embedded server cannot run; the message is one plain line for the user."""


class ServerProcess:
    """One server, run in `home`, recorded in `data_dir`/run and logging to `data_dir`/log.

    A lock file held for as long as the supervisor lives tells a server that is in use from one
    that a killed supervisor left: the first is refused, the second stopped before a start.
    The server gets a session of its own, so that Ctrl-C does not reach it before its supervisor
    stops it in order. One that is a Python process comes from `forks`, where that is given.
    """

    def __init__(
        self,
        name: str,
        data_dir: Path,
        *,
        home: Path,
        program: str,
        stop_signal: signal.Signals = signal.SIGTERM,
        forks: "ForkServer | None" = None,
    ):
        self.name = name
        self.data_dir = data_dir
        self.home = home
        self.program = program
        self.stop_signal = stop_signal
        self.forks = forks
        self.log_path = data_dir / "log" / f"{name}.log"
        self.pid_path = data_dir / "run" / f"{name}.pid"
        self._lock_path = data_dir / "run" / f"{name}.lock"
        self._child: Child | None = None
        self._lock: int | None = None
        self._log_start = 0

    def start(
        self,
        prepare: Callable[[], Sequence[str]],
        *,
        ready: Callable[[], bool],
        timeout: float = 60.0,
        account: tuple[int, int] | None = None,
    ) -> None:
        """Start the server and return when `ready()` says so; does nothing if this object runs it.

        `prepare` writes what the server needs and returns its command line; it runs when the
        folder is ours and no old server is left. `account` is a user and group id to run as.
        Raises EmbeddedServerError after `timeout` seconds or when the server ends.
        """
        if self.owns_running():
            return
        self._take_lock()
        try:
            self._stop_survivors()
            self._launch(prepare(), account)
            self._wait_until(ready, timeout)
        except BaseException:
            self.stop(timeout=5.0)
            raise

    def stop(self, timeout: float = 15.0) -> None:
        """Stop the server that this object started: signal, wait `timeout` seconds, kill."""
        if self._child is not None:
            if self._child.poll() is None:
                self._child.send_signal(self.stop_signal)
            try:
                self._child.wait(timeout)
            except subprocess.TimeoutExpired:
                _logger.warning("%s did not stop in %s s: killing it", self.name, timeout)
                self._child.kill()
                self._child.wait()
            self._child = None
            self.pid_path.unlink(missing_ok=True)
        self._release_lock()

    def stop_left_over(self) -> bool:
        """Stop the server that a killed supervisor left; True if there was one.

        Raises EmbeddedServerError when its supervisor is alive.
        """
        held = self._lock is not None
        self._take_lock()
        try:
            return not self.owns_running() and self._stop_survivors()
        finally:
            if not held:
                self._release_lock()

    def owns_running(self) -> bool:
        """Whether the server that this object started is alive."""
        return self._child is not None and self._child.poll() is None

    def is_running(self) -> bool:
        """Whether a server runs on this folder, whoever started it."""
        return self.owns_running() or self._recorded() is not None

    def pid(self) -> int | None:
        """The server's process id, whoever started it."""
        if self._child is not None and self._child.poll() is None:
            return self._child.pid
        recorded = self._recorded()
        return recorded.pid if recorded else None

    def _launch(self, command: Sequence[str], account: tuple[int, int] | None) -> None:
        self.log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_KEPT_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            try:
                self._child = self._started(command, log, account)
            except OSError as error:
                raise EmbeddedServerError(f"{self.name} cannot be started: {error}") from error
        self._record(self._child.pid)

    def _started(
        self, command: Sequence[str], log: IO[bytes], account: tuple[int, int] | None
    ) -> "Child":
        if self.forks is not None:
            return self.forks.start(command[1:], self.home, log.fileno())
        return subprocess.Popen(
            command,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **run_as(account),
        )

    def _wait_until(self, ready: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.owns_running():
                raise EmbeddedServerError(f"{self.name} ended at its start: {self._last_words()}")
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"{self.name} was not ready in {timeout:g} s: {self._last_words()}"
                )
            time.sleep(POLL_SECONDS)
        # A probe may have been answered by somebody else's server while ours was failing.
        if not self.owns_running():
            raise EmbeddedServerError(f"{self.name} ended at its start: {self._last_words()}")

    def _last_words(self) -> str:
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").strip().splitlines()
        telling = [line for line in lines if "FATAL" in line or "[FTL]" in line] or lines[-1:]
        return f"{telling[-1].strip() if telling else 'it said nothing'} (log: {self.log_path})"

    def _record(self, pid: int) -> None:
        import psutil

        with contextlib.suppress(psutil.NoSuchProcess):
            identity = {"pid": pid, "create_time": psutil.Process(pid).create_time()}
            draft = self.pid_path.with_suffix(".new")
            draft.write_text(json.dumps(identity))
            draft.replace(self.pid_path)

    def _recorded(self) -> "psutil.Process | None":
        """The live process of the pid file, if it still is the one that was written down."""
        import psutil

        try:
            identity = json.loads(self.pid_path.read_text())
            process = psutil.Process(identity["pid"])
            born = abs(process.create_time() - identity["create_time"]) < 1
            # A step of the wall clock moves create_time; the folder a server runs in stays.
            ours = self._is_program(process) and (born or self._runs_here(process))
        except (OSError, ValueError, KeyError, TypeError, psutil.Error):
            return None
        return process if ours and process.status() != psutil.STATUS_ZOMBIE else None

    def _is_program(self, process: "psutil.Process") -> bool:
        import psutil

        # Some give themselves another name; their executable stays.
        try:
            return self.program in (process.name(), Path(process.exe()).name)
        except psutil.Error:
            return False

    def _runs_here(self, process: "psutil.Process") -> bool:
        import psutil

        try:
            return Path(process.cwd()) == self.home.resolve()
        except psutil.Error:
            return False

    def _stop_survivors(self) -> bool:
        """End the recorded server, then all others that run in `home` (backends of a dead one)."""
        import psutil

        recorded = self._recorded()
        if recorded is not None:
            _logger.warning("%s (pid %s) was left over: stopping it", self.name, recorded.pid)
            _end([recorded], self.stop_signal)
        named = filter(self._is_program, psutil.process_iter())
        others = [process for process in named if self._runs_here(process)]
        _end(others, signal.SIGTERM)
        self.pid_path.unlink(missing_ok=True)
        return recorded is not None or bool(others)

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        self._lock_path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(lock, 32).decode() or "unknown"
            os.close(lock)
            raise EmbeddedServerError(
                f"{self.name} of {self.data_dir} is already run by process {owner}: stop that first"
            ) from None
        self._lock = lock
        # Only told to whoever comes second: a full disk must not keep the lock from us.
        with contextlib.suppress(OSError):
            os.ftruncate(lock, 0)
            os.write(lock, str(os.getpid()).encode())

    def _release_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def run_as(account: tuple[int, int] | None) -> dict[str, Any]:
    """The arguments of `subprocess` that run a program as a user and group id."""
    return {"user": account[0], "group": account[1], "extra_groups": []} if account else {}


def _end(processes: "Sequence[psutil.Process]", stop_signal: signal.Signals) -> None:
    """Signal foreign processes, kill those alive ten seconds later, and wait for their end."""
    import psutil

    for number in (stop_signal, signal.SIGKILL):
        for process in filter(_alive, processes):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        deadline = time.monotonic() + 10
        while any(map(_alive, processes)) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


def _alive(process: "psutil.Process") -> bool:
    import psutil

    # Where init reaps nothing (many containers) an ended process stays as a zombie.
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
