"""Processes forked from one that has loaded what all of them need: they start at once, and what
none of them changes is in memory once.
"""

import atexit
import contextlib
import ctypes
import fcntl
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from setproctitle import setproctitle

REQUEST_BYTES = 64 * 1024
ANSWER_SECONDS = 10.0
ARENAS = 2
M_ARENA_MAX = -8  # of glibc's malloc.h


class Fork:
    """A forked process, with what its keeper needs of `subprocess.Popen`.

    It is a child of the fork server. A pidfd tells of its end, and stays its own when another
    process gets its id.
    """

    def __init__(self, pid: int, handle: int) -> None:
        self.pid = pid
        self._handle = handle

    def poll(self) -> int | None:
        """None while it runs."""
        return 0 if self._ended(0) else None

    def wait(self, timeout: float | None = None) -> int:
        """Return after its end; raises subprocess.TimeoutExpired after so many seconds."""
        if not self._ended(None if timeout is None else timeout * 1000):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return 0

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, milliseconds: float | None) -> bool:
        end = select.poll()
        end.register(self._handle, select.POLLIN)
        return bool(end.poll(milliseconds))

    def __del__(self) -> None:
        os.close(self._handle)


Child = Fork | subprocess.Popen[bytes]


class ForkServer:
    """Starts Python processes by forking a process of its own, or anew where it can't.

    It is made while its maker has one thread: a fork has none of the other threads, but all of
    their locks as they just were. It ends with its maker; what it forked lives on.
    """

    def __init__(self, title: str) -> None:
        # Whoever started us may ignore it, and then nobody is told how a child ended.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._mutex = threading.Lock()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = 0
        if _has_pidfds():
            _leave_memory_alone()
            self.pid = os.fork()
            if self.pid == 0:
                self._requests.close()
                os.setsid()
                _close_inherited()
                setproctitle(title)
                _do_and_leave(partial(_serve, theirs))
        theirs.close()
        self._requests.settimeout(ANSWER_SECONDS)

    def start(self, arguments: Sequence[str], folder: Path, output: int) -> Child:
        """A process that runs `python ARGUMENTS` in a folder and in a session of its own.

        `output` is a file descriptor: its stdout and stderr. Raises OSError if it can't be had.
        """
        request = json.dumps([str(folder), *arguments]).encode()
        with self._mutex:
            try:
                socket.send_fds(self._requests, [request], [output])
                reply, handles, _, _ = socket.recv_fds(self._requests, REQUEST_BYTES, 2)
            except OSError:
                # One that is late would fork in the end what is started anew here.
                self.stop()
                handles = []
        if handles:
            handle, go = handles
            fork = Fork(int(reply), handle)
            with open(go, "wb", buffering=0) as gate, contextlib.suppress(BrokenPipeError):
                gate.write(b"!")
            return fork
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def stop(self) -> None:
        """End the server; what it forked lives on."""
        self._requests.close()
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


def _has_pidfds() -> bool:
    """Whether this system, and what fences us in on it, gives handles of processes."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def _leave_memory_alone() -> None:
    """Keep the collector off what is loaded: it writes into all that it looks at."""
    # As MALLOC_ARENA_MAX, which is read by programs that start and not by forks. Not on musl.
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)
    gc.collect()
    gc.freeze()


def _close_inherited() -> None:
    """Close what our own caller left open, as `subprocess` does: a lock that it holds would stay
    held for as long as a part lives. What Python opens isn't inheritable, and stays.
    """
    for descriptor in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):  # the listing's own is closed
            if descriptor > 2 and os.get_inheritable(descriptor):
                os.close(descriptor)


def _serve(requests: socket.socket) -> None:
    """Fork on request until nobody can ask any more."""
    children: dict[int, int] = {}
    waiting = select.poll()
    waiting.register(requests, select.POLLIN)
    while True:
        for ready, _ in waiting.poll():
            if ready in children:
                waiting.unregister(ready)
                os.waitpid(children.pop(ready), 0)
                os.close(ready)
            elif handle := _fork(requests, children):
                waiting.register(handle, select.POLLIN)


def _fork(requests: socket.socket, children: dict[int, int]) -> int | None:
    """Answer one request; the pidfd of the new child, None if there is none.

    The child goes on when who asked has its handle and says so, and ends when it can't any more:
    none runs that nobody knows of, whoever is killed meanwhile.
    """
    request, outputs, _, _ = socket.recv_fds(requests, REQUEST_BYTES, 1)
    if not request:
        os._exit(0)
    gate, go = os.pipe()
    try:
        pid = os.fork()
    except OSError as error:
        requests.send(str(error).encode())
        for each in (outputs[0], gate, go):
            os.close(each)
        return None
    if pid == 0:
        for each in (*children, requests.detach(), go):
            os.close(each)
        if not os.read(gate, 1):
            os._exit(0)
        os.close(gate)
        folder, *arguments = json.loads(request)
        _do_and_leave(partial(_become, arguments, folder, outputs[0]))
    handle = os.pidfd_open(pid)
    children[handle] = pid
    with contextlib.suppress(OSError):  # who asked is gone
        socket.send_fds(requests, [str(pid).encode()], [handle, go])
    for each in (outputs[0], gate, go):
        os.close(each)
    return handle


def _become(arguments: Sequence[str], folder: str, output: int) -> None:
    """Go on as what `python ARGUMENTS` would be."""
    os.setsid()
    os.chdir(folder)
    null = os.open(os.devnull, os.O_RDWR)
    # Of the three themselves, our own start may have found some closed.
    sources = [fcntl.fcntl(each, fcntl.F_DUPFD, 3) for each in (null, output, output)]
    for target, source in enumerate(sources):
        os.dup2(source, target)
    for each in {null, output, *sources} - {0, 1, 2}:
        os.close(each)
    _open_streams()
    setproctitle(" ".join([sys.executable, *arguments]))
    match arguments:
        case ["-m", module, *_]:
            sys.argv = list(arguments[1:])
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case _:
            sys.argv = list(arguments)
            runpy.run_path(arguments[0], run_name="__main__")


def _do_and_leave(work: Callable[[], None]) -> NoReturn:
    """Do a forked process' work and end it as Python would, but here: the frames beneath are those
    of who forked it, and so is what they do at their end.
    """
    code: Any = 1
    try:
        work()
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    try:
        # The end of `multiprocessing`'s forks: threads are waited for, then all is said.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        if not isinstance(code, int | None):
            sys.stderr.write(f"{code}\n")
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit((code or 0) & 0xFF)


def _open_streams() -> None:
    """Python's three, over what their numbers are now; our own start may have found none."""
    streams = {
        "stdin": open(0, closefd=False),  # noqa: SIM115 - open to the end, as the others
        "stdout": open(1, "w", buffering=1, closefd=False),  # noqa: SIM115
        "stderr": open(2, "w", buffering=1, closefd=False, errors="backslashreplace"),  # noqa: SIM115
    }
    for name, stream in streams.items():
        vars(sys).update({name: stream, f"__{name}__": stream})
