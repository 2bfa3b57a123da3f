"""GET /metrics: how the system as a whole stands, for Prometheus."""

from collections.abc import Iterable, Iterator, Mapping
from hmac import compare_digest

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views import View
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from orders_site.console.parts import Answer
from orders_site.console.questions import CONTEXTS, PARTS, ContextState, Progress, progress
from orders_site.errors import problem_page

# What a context's figures are called here; where the name has no label, it is one figure's own.
FIGURES = {
    "queries": ("orders_today", "Orders placed since midnight UTC, by status.", "status"),
    "payments": ("orders_payments_today", "Payments begun since midnight UTC, by state.", "state"),
    "restaurant": ("orders_tickets", "Tickets that wait for a person.", "state"),
    "ordering": ("orders_sagas", "Sagas that need a person, by why.", "need"),
}


class Metrics(View):
    """What the parts of the system answer now; one that does not answer in time is down.

    For whoever shows ORDERS_METRICS_TOKEN as a bearer token. Process by process there is more on
    the ports that `--metrics-port` opens.
    """

    def get(self, request: HttpRequest) -> HttpResponse:
        if not settings.METRICS_TOKEN:
            return problem_page(request, 404, "Metrics are off: ORDERS_METRICS_TOKEN is not set.")
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        expected = settings.METRICS_TOKEN.encode()
        if scheme.lower() != "bearer" or not compare_digest(token.strip().encode(), expected):
            refused = problem_page(request, 401, "Show the token of ORDERS_METRICS_TOKEN.")
            refused["WWW-Authenticate"] = 'Bearer realm="metrics"'
            return refused
        registry = CollectorRegistry()
        registry.register(State(PARTS.ask()))
        encode, content_type = choose_encoder(request.META.get("HTTP_ACCEPT", ""))
        return HttpResponse(encode(registry), content_type=content_type)


class State(Collector):
    """What the parts answered, as metrics."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = answers
        self._progress = list(progress(answers))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up = GaugeMetricFamily("orders_part_up", "1 if the part answers, else 0.", labels=["part"])
        for part, answer in self._answers.items():
            up.add_metric([part.replace(" ", "_").lower()], 0 if answer.problem else 1)
        yield up
        states = {
            label: state
            for label in CONTEXTS
            if isinstance(state := self._answers[label].value, ContextState)
        }
        yield from _log(self._progress, self._answers["event store"].value)
        parked = GaugeMetricFamily(
            "orders_parked_messages",
            "Messages that wait for a person.",
            labels=["context"],
        )
        for label, state in states.items():
            parked.add_metric([label], state.parked)
        yield parked
        for label, (name, says, by) in FIGURES.items():
            figures = GaugeMetricFamily(name, says, labels=[by])
            for key, number in states[label].figures.items() if label in states else ():
                figures.add_metric([key], number)
            yield figures


def _log(progress: Iterable[Progress], head: int | None) -> Iterator[GaugeMetricFamily]:
    position = GaugeMetricFamily("orders_log_position", "Position of the log's last event.")
    if head is not None:
        position.add_metric([], head)
    yield position
    labels = ["subscription"]
    done = GaugeMetricFamily(
        "orders_subscription_position", "Position of the subscription's checkpoint.", labels=labels
    )
    behind = GaugeMetricFamily(
        "orders_subscription_behind_events",
        "Positions from the checkpoint to the log's end.",
        labels=labels,
    )
    stuck = GaugeMetricFamily(
        "orders_subscription_stuck_seconds",
        "How long the next event has been there without the checkpoint moving.",
        labels=labels,
    )
    for one in progress:
        done.add_metric([one.name], one.position)
        if one.behind is not None:
            behind.add_metric([one.name], one.behind)
        if one.stuck_for is not None:
            stuck.add_metric([one.name], one.stuck_for.total_seconds())
    yield from (done, behind, stuck)
