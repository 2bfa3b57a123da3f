#!/usr/bin/env python
"""Django's command-line entry point."""

import contextlib
import errno
import os
import select
import sys
from typing import TextIO

INTERRUPTED = 130
# A pipe's reader, or a terminal.
GONE = frozenset({errno.EPIPE, errno.EIO})
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orders_site.settings")
    _open_closed_streams()
    try:
        try:
            from django.core.management import execute_from_command_line

            execute_from_command_line(sys.argv)
        except (SystemExit, KeyboardInterrupt):
            # That nobody reads the last words any more does not change how it ended.
            if _nobody_reads():
                _discard(sys.stdout)
            raise
        finally:
            # The interpreter's own last flush would turn the exit code into 120; see below too.
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        if not (error.errno in NO_SPACE or (error.errno in GONE and _nobody_reads())):
            raise
        _discard(sys.stdout)
        if error.errno in NO_SPACE:
            _complain(f"cannot write: {error.strerror}")
        sys.exit(1)
    except Exception as error:
        if "--traceback" in sys.argv or not _is_of_the_database(error):
            raise
        # The first two lines: below may be what a statement was about.
        _complain(f"the database failed: {' '.join(' '.join(str(error).splitlines()[:2]).split())}")
        sys.exit(1)
    finally:
        try:
            sys.stderr.flush()
        except OSError:
            _discard(sys.stderr)


def _open_closed_streams() -> None:
    """A stream that the shell closed (`>&-`) is None, which no command is prepared for."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - open to the end
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _nobody_reads() -> bool:
    """Whether the reader of our output is gone (`| head -1`)."""
    pipe = select.poll()
    pipe.register(sys.stdout.fileno(), 0)
    return bool(pipe.poll(0))


def _is_of_the_database(error: Exception) -> bool:
    """Whether a database can't be reached or gave up, which is no fault of the command."""
    database = sys.modules.get("django.db")
    return database is not None and isinstance(
        error, (database.OperationalError, database.InterfaceError)
    )


def _complain(text: str) -> None:
    """A line for whoever sees the errors, unless they can't be written either."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"manage.py: {text}\n")


def _discard(stream: TextIO) -> None:
    """Drop what is left for the stream, so that the end of the process does not stumble on it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    with contextlib.suppress(OSError):
        stream.flush()


if __name__ == "__main__":
    main()
