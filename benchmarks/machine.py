"""What the figures were measured on."""

import os
import platform
import sys
from datetime import UTC, datetime
from typing import Any


def describe(postgres: str, load_before: float) -> dict[str, Any]:
    """The machine, the moment and the command.

    Args:
        postgres: its version as it tells it.
        load_before: the load average of the last minute when the run began.
    """
    return {
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "postgres": postgres,
        "load_before": load_before,
        "load_after": load(),
    }


def load() -> float:
    """How many processes wanted a core during the last minute."""
    return os.getloadavg()[0]
