"""Runs functions at the same time, and waits for what will become true."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

T = TypeVar("T")


def together(functions: Sequence[Callable[[], T]], timeout: float = 60.0) -> list[T]:
    """The results of all functions, each begun at the same moment in a thread of its own."""
    start = threading.Barrier(len(functions))

    def run(function: Callable[[], T]) -> T:
        try:
            start.wait(timeout)
            return function()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result(timeout) for future in [pool.submit(run, f) for f in functions]]


def eventually(condition: Callable[[], T], timeout: float = 15.0) -> T:
    """The condition's first true value; fails if there is none in time."""
    until = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < until, f"not true after {timeout} s: {condition}"
        time.sleep(0.01)
    return value
