"""Starts a sandbox in a child process and waits until it is ready; for tests and benchmarks."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

READY = "sandbox gateway ready on "
_ROOT = Path(__file__).resolve().parents[3]


class SandboxDidNotStart(Exception):
    """The sandbox ended before it was ready."""


class SandboxProcess:
    """A running sandbox with this ledger; the end of the `with` block stops it."""

    def __init__(
        self, ledger: Path, api_key: str, *, port: int = 0, hang_seconds: float = 30.0
    ) -> None:
        self.api_key = api_key
        # Not a pipe: one that nobody reads would block the sandbox in the end.
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by __exit__
        self.process = subprocess.Popen(
            _command(port, ledger, hang_seconds),
            cwd=_ROOT,
            env={**os.environ, "GATEWAY_API_KEY": api_key},
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith(READY):
            raise SandboxDidNotStart(self.stop()[1])
        self.url = line.removeprefix(READY).strip()
        self.port = int(self.url.rpartition(":")[2])

    def stop(self) -> tuple[int, str]:
        """SIGTERM, then the exit status and what it has written to stderr."""
        self.process.terminate()
        try:
            self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()
        self._errors.seek(0)
        return self.process.returncode, self._errors.read()

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self.process.kill()
        self.process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.stop()
        self._errors.close()


def _command(port: int, ledger: Path, hang_seconds: float) -> list[str]:
    options = {"--port": port, "--ledger": ledger, "--hang-seconds": hang_seconds}
    pairs = [str(part) for option in options.items() for part in option]
    return [sys.executable, "-m", "payments.gateways.sandbox", *pairs]
