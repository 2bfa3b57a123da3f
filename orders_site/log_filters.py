"""Filters of the logging configuration; loaded before Django is set up."""

import logging


class WithoutTraceback(logging.Filter):
    """Lets every record through, without the traceback of its exception."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        return True
