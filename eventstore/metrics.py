"""What the event store and its publisher count."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from eventstore.client.events import Event

if TYPE_CHECKING:
    from eventstore.publishing.feed import StreamStatus

CALLS = Counter("orders_grpc_calls", "Calls of the event store.", ["method", "code"])
SECONDS = Histogram(
    "orders_grpc_seconds",
    "How long a call took; of a stream, until its last message.",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
APPENDED = Counter("orders_appended_events", "Events that this server committed.", ["stream"])
COMMITS = Counter("orders_commits", "Transactions that committed them.", ["stream"])
WENT_BACK = Counter(
    "orders_log_went_back",
    "Times that a stream's head was found behind an earlier one.",
    ["stream"],
)
HEAD = Gauge("orders_appended_position", "Position of the last one.", ["stream"])


def committed(events: Sequence[Event]) -> None:
    """A hook for `Commits`: count what a commit added."""
    stream = events[-1].stream
    APPENDED.labels(stream).inc(len(events))
    COMMITS.labels(stream).inc()
    HEAD.labels(stream).set(events[-1].position)


class Published(Collector):
    """Where a publisher stands, looked at when somebody asks."""

    def __init__(self, status: "Callable[[], Iterable[StreamStatus]]") -> None:
        self._status = status

    def collect(self) -> Iterable[GaugeMetricFamily]:
        published = GaugeMetricFamily(
            "orders_published_position", "Position up to which NATS has it.", labels=["stream"]
        )
        behind = GaugeMetricFamily(
            "orders_unpublished_events", "Events of the log that NATS lacks.", labels=["stream"]
        )
        for one in self._status():
            published.add_metric([one.stream], one.published)
            behind.add_metric([one.stream], one.head - one.published)
        return [published, behind]
