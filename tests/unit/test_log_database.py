"""What a database error is taken for, and how large the pages of the log are."""

from datetime import UTC, datetime

import psycopg
import pytest
from django.db import DataError, IntegrityError, InterfaceError, OperationalError, ProgrammingError
from psycopg import errors

from eventstore.client.events import Event
from eventstore.faults import Verdict, sqlstate, verdict
from eventstore.page_size import FIRST_SIZE, LARGEST_SIZE, PAGE_CHARACTERS, PageSize
from tests.contract.new_events import new_event


def wrapped(cause: BaseException | None, kind: type = OperationalError) -> Exception:
    """As Django raises it, with the driver's error as its cause."""
    error = kind("text that nobody may look at")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("40001", Verdict.RERUN),
        ("40P01", Verdict.RERUN),
        ("23505", Verdict.RERUN),
        ("40003", Verdict.LOST),
        ("57P01", Verdict.LOST),
        ("57P02", Verdict.LOST),
        ("08006", Verdict.LOST),
        ("57014", Verdict.AWAY),
        ("55P03", Verdict.AWAY),
        ("25006", Verdict.AWAY),
        ("53100", Verdict.AWAY),
        ("53300", Verdict.AWAY),
        ("58030", Verdict.AWAY),
        ("42P01", Verdict.AWAY),
        ("42601", Verdict.FAULT),
        ("22P02", Verdict.FAULT),
        ("23502", Verdict.FAULT),
        ("42501", Verdict.FAULT),
    ],
)
def test_an_error_is_judged_by_its_sqlstate(state, expected):
    cause = errors.lookup(state)("text")

    for kind in (OperationalError, IntegrityError, ProgrammingError):
        assert verdict(wrapped(cause, kind)) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (wrapped(psycopg.OperationalError("server closed the connection")), Verdict.LOST),
        (wrapped(psycopg.InterfaceError("the connection is closed"), InterfaceError), Verdict.LOST),
        (wrapped(None), Verdict.LOST),
        (wrapped(psycopg.DataError("NUL in text"), DataError), Verdict.FAULT),
    ],
)
def test_an_error_without_a_sqlstate_is_judged_by_its_class(error, expected):
    assert verdict(error) is expected


def test_the_sqlstate_is_found_at_the_end_of_a_chain():
    assert sqlstate(wrapped(wrapped(errors.SerializationFailure()))) == "40001"
    assert sqlstate(wrapped(None)) is None


def events(count: int, size: int) -> list[Event]:
    new = new_event(data="x" * size, metadata="")
    at = {"version": 1, "position": 1, "recorded_at": datetime.now(UTC), "hash": b""}
    return [Event(**vars(new), **at)] * count


def test_pages_grow_where_events_are_small_and_shrink_where_they_are_large():
    size = PageSize()
    assert size.events == FIRST_SIZE
    size.learn(events(64, 300))
    assert size.events == LARGEST_SIZE
    size.learn(events(500, 256 * 1024))
    assert size.events == PAGE_CHARACTERS // (256 * 1024)
    size.learn(events(1, 2 * PAGE_CHARACTERS))
    assert size.events == 1


def test_an_empty_page_teaches_nothing():
    size = PageSize()
    size.learn([])
    assert size.events == FIRST_SIZE
