"""Asking all parts of the system at once; none of them can keep the page waiting."""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any

from django.db import InterfaceError, OperationalError, connections

from eventstore.client import TransientError

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 1.2
AWAY = (OperationalError, InterfaceError, TransientError, OSError)


@dataclass(frozen=True)
class Answer:
    """What a part answered, or the problem, in words."""

    value: Any = None
    problem: str = ""


class Parts:
    """Questions by the part that answers them.

    Each part has one question under way at most, which all askers share: however often the page
    is asked for while a part hangs, it costs one thread and one connection.
    """

    def __init__(self, questions: Mapping[str, Callable[[], Any]]) -> None:
        self._questions = questions
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[Any]] = {}

    def ask(self, seconds: float = DEADLINE_SECONDS) -> dict[str, Answer]:
        """Every part's answer, as far as it comes within so many seconds."""
        futures = {name: self._future(name, asks) for name, asks in self._questions.items()}
        wait(futures.values(), timeout=seconds)
        return {name: _answer(name, future) for name, future in futures.items()}

    def ask_also(self, name: str, question: Callable[[], Any], seconds: float) -> Answer:
        """The answer to a question that comes up only now; another asker's, if that is under way.

        Its name is no part's.
        """
        future = self._future(name, question)
        wait([future], timeout=seconds)
        return _answer(name, future)

    def _future(self, name: str, question: Callable[[], Any]) -> "Future[Any]":
        with self._lock:
            future = self._under_way.get(name)
            if future is None or future.done():
                future = self._under_way[name] = Future()
                # A daemon: a part that hangs does not keep the process from ending.
                threading.Thread(
                    target=_run, args=[question, future], name=name, daemon=True
                ).start()
        return future


def _run(question: Callable[[], Any], future: "Future[Any]") -> None:
    try:
        answer = question()
    except BaseException as error:
        connections.close_all()
        future.set_exception(error)
    else:
        connections.close_all()
        future.set_result(answer)


def _answer(name: str, future: "Future[Any]") -> Answer:
    if not future.done():
        return Answer(problem="no answer in time")
    match future.exception():
        case None:
            return Answer(future.result())
        case error if isinstance(error, AWAY):
            log.warning("%s can't be reached: %s", name, error)
            return Answer(problem="can't be reached")
        case error:
            log.error("%s could not answer", name, exc_info=error)
            return Answer(problem="could not answer; the log says why")
