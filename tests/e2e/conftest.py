"""One running system for all end-to-end tests."""

import shutil
from collections.abc import Iterator

import pytest

from tests.e2e.system import System, free_ports


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """`manage.py up` with short deadlines; stopped in order, leaving no process."""
    system = System(
        PAYMENT_DEADLINE_SECONDS="45",
        APPROVAL_DEADLINE_SECONDS="60",
        METRICS_PORT=str(free_ports(8)),
        METRICS_TOKEN="metrics-of-the-tests",
    )
    try:
        system.start()
        yield system
        assert system.stop() == 0
        assert system.processes() == []
    finally:
        for process in system.processes():
            process.kill()
        shutil.rmtree(system.data_dir, ignore_errors=True)
