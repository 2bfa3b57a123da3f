"""A broker that is away is one line in the log, and so is a client's mistake; every other
traceback stays.
"""

import logging
import sys

import pytest
from kombu.exceptions import OperationalError

from orders_site.log_filters import BrokerAway, RefusalsAreNoErrors


def record_of(error: BaseException) -> logging.LogRecord:
    try:
        raise error
    except BaseException:
        return logging.LogRecord("celery", 40, "", 1, "Message: %s", ("x",), sys.exc_info())


def wrapped() -> Exception:
    outer = RuntimeError("couldn't apply")
    outer.__cause__ = OperationalError("no route")
    return outer


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError("no route"), OperationalError("no route")]
)
def test_an_error_of_the_transport_is_one_line(error) -> None:
    record = record_of(error)
    assert BrokerAway().filter(record)
    assert (record.getMessage(), record.exc_info) == ("the broker is away: no route", None)


def test_so_is_one_that_it_is_the_cause_of() -> None:
    record = record_of(wrapped())
    BrokerAway().filter(record)
    assert record.getMessage() == "the broker is away: no route"


def test_any_other_error_keeps_its_words_and_its_traceback() -> None:
    record = record_of(ValueError("a bug"))
    assert BrokerAway().filter(record)
    assert record.getMessage() == "Message: x"
    assert record.exc_info


@pytest.mark.parametrize(
    ("status", "level", "traced"),
    [(400, "WARNING", False), (403, "WARNING", False), (500, "ERROR", True), (None, "ERROR", True)],
)
def test_what_a_client_should_not_have_sent_is_a_warning_of_one_line(status, level, traced) -> None:
    record = record_of(ValueError("((("))
    if status:
        record.status_code = status
    assert RefusalsAreNoErrors().filter(record)
    assert (record.levelname, bool(record.exc_info)) == (level, traced)
