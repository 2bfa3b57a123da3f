"""What a running system holds of the machine, before a storm and after it (I12).

A base is taken after some work, when pools and connections are open. What leaks for each lost
connection or each order shows in the long form soon, in the short one if it is coarse.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass, replace

import psutil

from tests.chaos.calamities import PARTS
from tests.e2e.system import System


@dataclass(frozen=True)
class Weight:
    """What a part and its children hold; `files` are open file descriptors, sockets included."""

    threads: int
    files: int
    megabytes: int


# What comes and goes, and what the allocator keeps.
SLACK = Weight(threads=8, files=24, megabytes=128)
# Sixteen threads that react are begun as they are needed; each has a connection of its own to the
# gateway, and to the database where it has to.
SLACK_OF_POOLS = Weight(threads=20, files=48, megabytes=128)
SLACKS = {
    **dict.fromkeys(["gateway", "subscribe_ordering", "subscribe_payments"], SLACK_OF_POOLS),
    "subscribe_restaurant": SLACK_OF_POOLS,
    "postgres": Weight(threads=60, files=0, megabytes=0),
}
SETTLE_SECONDS = 60


def weigh(system: System) -> dict[str, Weight]:
    """Each part's weight; all of them must run."""
    weights = {part: _weight(psutil.Process(system.pid(part))) for part in PARTS}
    # Of PostgreSQL its processes count, one for each connection; each opens what it touches.
    weights["postgres"] = replace(weights["postgres"], files=0, megabytes=0)
    return weights


def check_weights(system: System, base: Mapping[str, Weight]) -> None:
    """Wait until no part holds more than its base and the slack: idle connections end in time."""
    until = time.monotonic() + SETTLE_SECONDS
    while grown := _grown(base, weigh(system)):
        assert time.monotonic() < until, f"what was held and what is: {grown}"
        time.sleep(1)


def _grown(
    base: Mapping[str, Weight], now: Mapping[str, Weight]
) -> dict[str, tuple[Weight, Weight]]:
    return {
        part: (base[part], weight)
        for part, weight in now.items()
        if _exceeds(weight, base[part], SLACKS.get(part, SLACK))
    }


def _exceeds(weight: Weight, base: Weight, slack: Weight) -> bool:
    sums = [each + more for each, more in zip(astuple(base), astuple(slack), strict=True)]
    return any(each > most for each, most in zip(astuple(weight), sums, strict=True))


def _weight(part: psutil.Process) -> Weight:
    total = Weight(0, 0, 0)
    for each in [part, *part.children(recursive=True)]:
        # A child may end while it is looked at, such as a worker of PostgreSQL's.
        with suppress(psutil.NoSuchProcess):
            with each.oneshot():
                total = Weight(
                    total.threads + each.num_threads(),
                    total.files + each.num_fds(),
                    total.megabytes + each.memory_info().rss // 2**20,
                )
    return total
