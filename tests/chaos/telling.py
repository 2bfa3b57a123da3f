"""A pytest plugin: each test's plan, and at the end the seeds and counts of all."""

import pytest

from tests.chaos.plan import TOLD, Plan


@pytest.fixture
def chaos(request: pytest.FixtureRequest) -> Plan:
    return Plan(request.node.name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TOLD:
        terminalreporter.section("under fire")
        for line in TOLD:
            terminalreporter.write_line(line)
        TOLD.clear()
