"""Orders through the whole system: accepted, and paid, approved and in the query model."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import accepting, figures
from benchmarks.figures import Report, Row, Sample, Spread, Table, Target
from benchmarks.options import Options
from benchmarks.placing import placing
from benchmarks.system import Memory, System, running_system

CALLERS = 8
LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 120.0


def run(names: Sequence[str], folder: Path, options: Options) -> tuple[list[Report], str]:
    """The reports wanted, and PostgreSQL's version."""
    with running_system(folder) as system:
        with system.database("orders") as connection:
            row = connection.execute("SHOW server_version").fetchone()
        figures.say("orders, warming up")
        _whole(system, min(50, options.orders), options.in_progress)
        before = system.memory()
        orders = Report("orders")
        if "orders" in names:
            accepting.run(system, orders, options)
        done = _orders(system, orders, options)
        memory = _memory(before, system.memory(), done)
    reports = {"orders": orders, "memory": memory}
    return [reports[name] for name in names], f"PostgreSQL {row[0] if row else 'unknown'}"


def _orders(system: System, report: Report, options: Options) -> int:
    """Whole orders, a bounded number in progress: the rate at which the backlog stays flat."""
    samples: list[Sample] = []
    costs: list[dict[str, float]] = []
    for number in range(1, options.rounds + 1):
        before = system.cpu_seconds()
        sample = _whole(system, options.orders, options.in_progress)
        spent = {name: now - before.get(name, 0.0) for name, now in system.cpu_seconds().items()}
        samples.append(sample)
        costs.append({name: seconds / sample.done * 1000 for name, seconds in spent.items()})
        figures.say(
            f"  round {number} of {options.rounds}: {sample.rate:,.0f} orders/s, "
            f"{sum(costs[-1].values()):.1f} ms of CPU each"
        )
    title = f"whole orders, at most {options.in_progress} in progress"
    report.tables.append(Table(title, figures.rows({"placed until approved": samples}, "/s")))
    cost = Spread.of([sum(of_round.values()) for of_round in costs])
    report.tables.append(Table("CPU for a whole order", _costs(cost, costs)))
    report.targets += [
        Target("whole orders", 400.0, Spread.of([sample.rate for sample in samples]), "/s"),
        Target("CPU for a whole order, all processes", 5.0, cost, "ms", at_least=False),
    ]
    return options.orders * options.rounds


def _costs(total: Spread, costs: Sequence[dict[str, float]]) -> list[Row]:
    rows = [
        Row(name, Spread.of([of_round.get(name, 0.0) for of_round in costs]), "ms")
        for name in costs[-1]
    ]
    shown = [row for row in rows if row.value.median >= 0.01]
    return [Row("all processes", total, "ms"), *sorted(shown, key=lambda row: -row.value.median)]


def _whole(system: System, orders: int, in_progress: int) -> Sample:
    """Place so many orders, with so many unfinished at a time, until all are approved."""
    crowd = _Crowd(orders, in_progress)
    token = f"Bearer {system.token}"
    threads = [
        threading.Thread(target=crowd.place, args=[system.web_port, token]) for _ in range(CALLERS)
    ]
    for thread in threads:
        thread.start()
    with system.database("queries") as connection:
        query = "SELECT order_id FROM queries_orderrow WHERE order_id = ANY(%s) AND status = %s"
        while not crowd.finished():
            found = connection.execute(query, [crowd.unfinished(), "approved"]).fetchall()
            crowd.finish([row[0] for row in found])
            time.sleep(LOOK_SECONDS)
    for thread in threads:
        thread.join()
    return crowd.sample()


class _Crowd:
    """Orders in progress: when each was asked for, and when it was seen approved."""

    def __init__(self, orders: int, in_progress: int) -> None:
        self._left = orders
        self._free = threading.Semaphore(in_progress)
        self._mutex = threading.Lock()
        self._asked: dict[str, float] = {}
        self._latencies: list[float] = []
        self._wanted = orders
        self._failure: BaseException | None = None
        self._began = time.monotonic()
        self._ended = self._began

    def place(self, port: int, token: str) -> None:
        try:
            with placing(port, token) as place:
                while self._take():
                    asked = time.monotonic()
                    order_id = place()
                    with self._mutex:
                        self._asked[order_id] = asked
        except BaseException as failure:
            self._failure = failure

    def _take(self) -> bool:
        if not self._free.acquire(timeout=PATIENCE_SECONDS):
            return False
        with self._mutex:
            self._left -= 1
            return self._left >= 0

    def unfinished(self) -> list[str]:
        with self._mutex:
            return list(self._asked)

    def finish(self, order_ids: Sequence[str]) -> None:
        self._ended = time.monotonic()
        with self._mutex:
            for order_id in order_ids:
                self._latencies.append(self._ended - self._asked.pop(order_id))
        self._free.release(len(order_ids)) if order_ids else None

    def finished(self) -> bool:
        """Whether all are approved; raises what went wrong."""
        if self._failure is not None:
            raise self._failure
        if time.monotonic() - self._ended > PATIENCE_SECONDS:
            raise TimeoutError(f"{len(self._asked)} orders are not approved")
        done = len(self._latencies) >= self._wanted
        if done:
            self._free.release(CALLERS)
        return done

    def sample(self) -> Sample:
        return Sample(len(self._latencies), self._ended - self._began, self._latencies)


def _memory(before: Sequence[Memory], after: Sequence[Memory], orders: int) -> Report:
    report = Report("memory")
    earlier = {memory.name: memory for memory in before}
    rows = []
    for memory in after:
        start = earlier.get(memory.name)
        name = f"{memory.name} ({memory.processes})" if memory.processes > 1 else memory.name
        rows.append(_row(name, start.pss if start else 0.0, memory.pss))
    total = _row("all", sum(m.pss for m in before), sum(m.pss for m in after))
    table = Table(f"memory (PSS), {orders:,} orders", [total, *rows], "after", "before to after")
    report.tables.append(table)
    report.targets.append(
        Target("memory of all processes", 700.0, total.value, "MiB", at_least=False)
    )
    report.notes.append(
        "PSS: pages that processes share are divided between them. "
        f"RSS, which counts them for each: {sum(m.rss for m in after):,.0f} MiB"
    )
    return report


def _row(name: str, before: float, after: float) -> Row:
    return Row(name, Spread(after, before, after), "MiB")
