"""How long the suites under fire run, and on which dice.

`make test` runs the short form on a fixed seed; `make chaos` sets CHAOS_SEED and CHAOS_ROUNDS.
"""

import os
from dataclasses import dataclass, field
from random import Random
from zlib import crc32

SEED = int(os.environ.get("CHAOS_SEED") or 1)
ROUNDS = int(os.environ.get("CHAOS_ROUNDS") or 0)
TOLD: list[str] = []


@dataclass
class Plan:
    """One test's share of the seed.

    `dice` are its own: the same seed gives the same throws, whatever other tests ran before.
    """

    name: str
    dice: Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = Random(SEED + crc32(self.name.encode()))

    @property
    def is_long(self) -> bool:
        return ROUNDS > 0

    def rounds(self, short: int, *, per_round: int = 1) -> int:
        """How often to do something: `short`, or in the long form `per_round` for each round."""
        return ROUNDS * per_round if self.is_long else short

    def tell(self, counts: str) -> None:
        """Have a line with the seed and these counts printed at the end of the run."""
        TOLD.append(f"{self.name}: seed {SEED}, {counts}")
