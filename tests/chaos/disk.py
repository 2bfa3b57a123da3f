"""A disk for a server that can be cut off from power or filled up: ext4 in a file. Root only."""

import errno
import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.chaos.plan import Plan

# From Linux' fs/ext4/ext4.h: EXT4_IOC_SHUTDOWN is _IOR('X', 125, __u32), the flag says that not
# even the journal in memory reaches the disk.
SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
MEGABYTE = 1024 * 1024
STEP = 64 * 1024


class Disk:
    """A file system of its own, mounted at `folder`."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.folder = folder
        self._image = image

    def format(self, megabytes: int) -> None:
        """Make it, empty."""
        with self._image.open("wb") as file:
            file.truncate(megabytes * MEGABYTE)
        _run("mkfs.ext4", "-q", "-m", "0", str(self._image))

    def mount(self) -> None:
        """Put it in its place; replays its journal."""
        self.folder.mkdir(exist_ok=True)
        _run("mount", "-o", "loop", str(self._image), str(self.folder))

    def unmount(self) -> None:
        """Take it away; nobody may use it any more."""
        _run("umount", str(self.folder))

    def cut_power(self) -> None:
        """From now on nothing more is written; what the kernel has not written yet is lost."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, SHUTDOWN, NO_LOG_FLUSH.to_bytes(4, "little"))
        finally:
            os.close(handle)

    def fill(self, *, leaving: int) -> None:
        """Leave so many bytes free, or a little more."""
        free = os.statvfs(self.folder)
        size = free.f_bavail * free.f_bsize - leaving
        with self._ballast.open("wb") as file:
            # The file system needs some of it to keep account of the rest.
            while not _allocated(file.fileno(), size):
                size -= STEP

    def empty(self) -> None:
        """Give back what `fill` took."""
        self._ballast.unlink()

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"


@contextmanager
def disk_at(folder: Path, megabytes: int, chaos: Plan) -> Iterator[Disk]:
    """A mounted disk; the test is skipped, and says so, where there can't be one."""
    disk = Disk(folder.with_suffix(".img"), folder)
    try:
        disk.format(megabytes)
        disk.mount()
    except (OSError, subprocess.CalledProcessError) as problem:
        chaos.tell(f"not run, as it needs root and loop devices: {problem}")
        pytest.skip("not run: it needs root and loop devices")
    try:
        yield disk
    finally:
        with suppress(subprocess.CalledProcessError):
            disk.unmount()


def _allocated(file: int, size: int) -> bool:
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as problem:
        if problem.errno != errno.ENOSPC:
            raise
        return False
    return True


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=20)
