"""Reads the next part of something while the last one is worked on."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

Part = TypeVar("Part")


def read_ahead(parts: Iterator[Part]) -> Iterator[Part]:
    """The parts in turn; one thread of its own gets them, never more than one in advance."""
    with ThreadPoolExecutor(1) as reader:
        try:
            upcoming = reader.submit(next, parts, None)
            while (part := upcoming.result()) is not None:
                upcoming = reader.submit(next, parts, None)
                yield part
        finally:
            reader.submit(_end, parts)


def _end(parts: Iterator[Part]) -> None:
    """Leave nothing open, neither what the parts read from nor what the thread did."""
    try:
        if isinstance(parts, Generator):
            parts.close()
    finally:
        connections.close_all()
