"""The network goes silent on every edge of the system, and is healed."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from eventstore.store import SqlEventStore
from tests.chaos.edges import Edge, Edges, in_use
from tests.chaos.network import Partition, wires_for
from tests.chaos.plan import Plan
from tests.chaos.test_commit_in_doubt import check_acknowledged
from tests.together import eventually

pytest_plugins = ["tests.chaos.telling"]
pytestmark = [
    pytest.mark.django_db(databases=["eventstore", "payments", "restaurant"], transaction=True),
    pytest.mark.timeout(3600),
]

# Longer than either may take, so that the test waits for what comes too late and can say so.
PATIENCE_SECONDS = 60


@pytest.fixture
def edges(tmp_path: Path, chaos: Plan, caplog: pytest.LogCaptureFixture) -> Iterator[Edges]:
    with wires_for(chaos) as wires, in_use(wires, tmp_path, caplog) as edges:
        yield edges


def test_what_the_network_swallows_is_noticed_and_nothing_is_lost_or_doubled(
    edges: Edges, chaos: Plan
) -> None:
    """In the short form on all edges at once, in the long one on some: in use, idle, or for a
    moment that nobody need notice.
    """
    eventually(lambda: all(edge.done() > 5 for edge in edges.edges), timeout=60)
    partition(edges, edges.edges, Partition.SILENT, chaos)
    for _ in range(chaos.rounds(0)):
        edges.rest(chaos.dice.random() < 0.4)
        exposed = [edge for edge in edges.edges if edge.watchful or not edges.resting]
        cut = chaos.dice.sample(exposed, chaos.dice.randrange(1, len(exposed) + 1))
        kind = chaos.dice.choice(list(Partition))
        if chaos.dice.random() < 0.3:
            edges.rest(False)
            interruption(cut, kind, chaos)
        else:
            partition(edges, cut, kind, chaos)
    edges.end()
    for edge in edges.edges:
        edge.check()
    check_acknowledged(edges.writers, list(SqlEventStore().read_stream()))


def partition(edges: Edges, cut: list[Edge], kind: Partition, chaos: Plan) -> None:
    """Cut these edges until all have noticed, see that the others go on, and heal."""
    others = [edge for edge in edges.edges if edge not in cut]
    complaints = {edge.name: edge.complaints() for edge in cut}
    for edge in cut:
        edge.wire.cut(kind)
    asked = {edge.name: edge.asked() for edge in others}
    noticed = measured(cut, lambda edge: edge.complaints() > complaints[edge.name])
    measured(others, lambda edge: edges.resting or edge.done() >= asked[edge.name])
    how = f"{kind.name}, {'idle' if edges.resting else 'in use'}"
    edges.rest(False)
    recovered = healed(cut)
    chaos.tell(
        f"{how}: noticed after, and recovered after healing, "
        + ", ".join(f"{name} {noticed[name]:.1f} and {recovered[name]:.1f} s" for name in noticed)
    )


def interruption(cut: list[Edge], kind: Partition, chaos: Plan) -> None:
    """Cut these edges for a moment."""
    seconds = chaos.dice.uniform(0.5, 4.0)
    for edge in cut:
        edge.wire.cut(kind)
    time.sleep(seconds)
    recovered = healed(cut)
    chaos.tell(
        f"{kind.name} for {seconds:.1f} s: recovered after healing, "
        + ", ".join(f"{name} {recovered[name]:.1f} s" for name in recovered)
    )


def healed(cut: list[Edge]) -> dict[str, float]:
    """Heal these edges; how long until what was asked for by then is done."""
    for edge in cut:
        edge.wire.heal()
    asked = {edge.name: edge.asked() for edge in cut}
    return measured(cut, lambda edge: edge.done() >= asked[edge.name])


def measured(edges: list[Edge], condition: Callable[[Edge], bool]) -> dict[str, float]:
    """The seconds until each edge met the condition."""
    began, times = time.monotonic(), {}

    def all_met() -> bool:
        for edge in edges:
            if edge.name not in times and condition(edge):
                times[edge.name] = time.monotonic() - began
        return len(times) == len(edges)

    with suppress(AssertionError):
        eventually(all_met, PATIENCE_SECONDS)
    assert set(times) == {edge.name for edge in edges}, times
    return times
