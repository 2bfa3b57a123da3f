"""The supervisor's start, when a part fails or the whole is told to stop meanwhile."""

import errno
import resource
import threading
from pathlib import Path

import pytest

from orders_site.embedded import supervisor as supervising
from orders_site.embedded.process import EmbeddedServerError, ServerProcess
from orders_site.embedded.supervisor import Supervisor

PATIENCE_SECONDS = 20.0


class Late:
    """A part that launches its process only after it was first told to stop."""

    name = "late"

    def __init__(self) -> None:
        self.starting, self.told, self.stopped = (threading.Event() for _ in range(3))
        self.launched = False

    def start(self) -> None:
        self.starting.set()
        assert self.told.wait(PATIENCE_SECONDS)
        self.launched = True
        assert self.stopped.wait(PATIENCE_SECONDS), "nobody stopped what it launched"
        raise EmbeddedServerError("ended at its start")

    def stop(self) -> None:
        if self.launched:
            self.stopped.set()
        self.told.set()

    def is_running(self) -> bool:
        return self.launched and not self.stopped.is_set()


class Broken:
    """A part that can't start."""

    name = "broken"

    def __init__(self, after: threading.Event) -> None:
        self.after = after

    def start(self) -> None:
        assert self.after.wait(PATIENCE_SECONDS)
        raise EmbeddedServerError("the port is taken")

    def stop(self) -> None:
        pass

    def is_running(self) -> bool:
        return False


def test_what_is_launched_after_the_order_to_stop_is_stopped_too() -> None:
    late = Late()
    supervisor = Supervisor()
    with pytest.raises(EmbeddedServerError, match="the port is taken"):
        supervisor.start([Broken(late.starting), late])
    assert late.stopped.is_set()
    supervisor.stop()


def test_nothing_is_started_once_the_supervisor_stops() -> None:
    late = Late()
    supervisor = Supervisor()
    supervisor.stop()
    supervisor.start([late])
    assert not late.starting.is_set()


class Falling:
    """A part that starts once, falls, and from then on is never ready."""

    name = "falling"

    def __init__(self) -> None:
        self.starts = 0
        self.again, self.stopped = threading.Event(), threading.Event()

    def start(self) -> None:
        self.starts += 1
        if self.starts > 1:
            self.again.set()
            assert self.stopped.wait(PATIENCE_SECONDS), "nobody ended its wait"
            raise EmbeddedServerError("ended at its start")

    def stop(self) -> None:
        self.stopped.set()

    def is_running(self) -> bool:
        return False


def test_a_part_that_is_being_started_again_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervising, "FIRST_BACKOFF_SECONDS", 0.01)
    falling = Falling()
    supervisor = Supervisor()
    supervisor.start([falling])
    assert falling.again.wait(PATIENCE_SECONDS)
    stopping = threading.Thread(target=supervisor.stop)
    stopping.start()
    stopping.join(PATIENCE_SECONDS / 2)
    assert not stopping.is_alive()


class Unlucky:
    """A part that falls, finds the disk full when it is started again, and then has luck."""

    name = "unlucky"

    def __init__(self) -> None:
        self.starts = 0
        self.back = threading.Event()

    def start(self) -> None:
        self.starts += 1
        if self.starts == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.starts == 3:
            self.back.set()

    def stop(self) -> None:
        pass

    def is_running(self) -> bool:
        return self.back.is_set()


def test_a_part_that_finds_the_disk_full_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "FIRST_BACKOFF_SECONDS", 0.01)
    unlucky = Unlucky()
    supervisor = Supervisor()
    supervisor.start([unlucky])
    assert unlucky.back.wait(PATIENCE_SECONDS)
    supervisor.stop()


def test_a_full_disk_costs_nobody_the_lock_of_a_server(tmp_path: Path) -> None:
    server = ServerProcess("one", tmp_path, home=tmp_path, program="no-such-program")
    (tmp_path / "run").mkdir()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        assert not server.stop_left_over()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not server.stop_left_over()
