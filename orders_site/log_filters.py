"""Filters of the logging configuration; loaded before Django is set up."""

import logging
from collections.abc import Iterator
from http import HTTPStatus

# The packages of Celery's ways to a broker; their errors have no class in common.
_TRANSPORTS = ("kombu", "redis", "amqp")


class RefusalsAreNoErrors(logging.Filter):
    """Lets every record through; what Django says of a client's mistake is a warning of one line,
    however Django rates it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        status = getattr(record, "status_code", None)
        if status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR:
            record.exc_info = record.exc_text = None
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


class BrokerAway(logging.Filter):
    """Lets every record through; a traceback that says no more than that becomes one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        for error in _chain(record.exc_info[1] if record.exc_info else None):
            package = type(error).__module__.partition(".")[0]
            if package in _TRANSPORTS or isinstance(error, ConnectionError):
                record.msg, record.args = "the broker is away: %s", (error,)
                record.exc_info = None
                break
        return True


class ThreadsAreWanted(logging.Filter):
    """Drops Granian's warning that the threads are many for the cores of the machine: they wait
    most of the time, and how many there are is a setting.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Configuration allows spawning up to")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
