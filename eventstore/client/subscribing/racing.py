"""Waiting for whichever of several coroutines ends first."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from typing import Any


async def first_of(*coroutines: Coroutine[Any, Any, Any]) -> set[int]:
    """Run all until one ends, cancel the others; which have ended, by their place.

    Raises what the first ended one raises.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended = {place for place, task in enumerate(tasks) if task.done()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for place in sorted(ended):
        tasks[place].result()
    return ended


@contextlib.contextmanager
def beside(
    coroutine: Coroutine[Any, Any, Any], ended: Callable[[], None]
) -> Iterator["asyncio.Task[Any]"]:
    """Run the coroutine in a task until the block is left; `ended` is called if it ends before."""
    task = asyncio.ensure_future(coroutine)
    task.add_done_callback(lambda _: ended())
    try:
        yield task
    finally:
        if task.done() and not task.cancelled():
            task.exception()  # who had to know of it was told
        task.cancel()


async def within(seconds: float, event: asyncio.Event) -> bool:
    """Wait for the event; False if it didn't come in time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def raise_if_cancelled() -> None:
    """End a task that was cancelled and lives; to be called in every loop that has no end.

    `asyncio.wait_for` of Python 3.11, which nats-py uses, swallows a cancellation that comes in
    the moment in which what it waits for is done.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
