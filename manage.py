#!/usr/bin/env python
"""Django's command-line entry point."""

import os
import select
import sys

INTERRUPTED = 130


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orders_site.settings")
    _open_closed_streams()
    try:
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        if not _nobody_reads():
            raise
        sys.exit(1)
    finally:
        # The interpreter's own last flush would turn the exit code into 120.
        _nobody_reads()


def _open_closed_streams() -> None:
    """A stream that the shell closed (`>&-`) is None, which no command is prepared for."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - open to the end
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _nobody_reads() -> bool:
    """Whether the reader of our output is gone (`| head -1`); what is left for it is dropped."""
    pipe = select.poll()
    pipe.register(sys.stdout.fileno(), 0)
    if not pipe.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


if __name__ == "__main__":
    main()
