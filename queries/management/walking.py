"""What the commands that walk over the query models share: options, and plain words for trouble."""

from argparse import ArgumentParser, ArgumentTypeError

from django.core.management.base import CommandError
from django.db import InterfaceError, OperationalError

from eventstore.client import EventStoreError, TransientError
from queries.rebuilding import Rebuild
from queries.walk import Walk

INTERRUPTED = 130


def add_resume_arguments(parser: ArgumentParser) -> None:
    """--from-position and --from-order, as `Walk.resume` names them."""
    parser.add_argument(
        "--from-position", type=_position, default=1, help="go on from this position of the log"
    )
    parser.add_argument("--from-order", type=_order_id, default="", help="go on after this order")


def completed(walk: Walk | Rebuild) -> int:
    """Run the walk; how many differences there were.

    Raises:
        CommandError: it could not be completed; says how to go on.
    """
    try:
        return walk.run()
    except KeyboardInterrupt:
        raise CommandError(f"Stopped. To go on: {walk.resume}", returncode=INTERRUPTED) from None
    except (TransientError, EventStoreError, OperationalError, InterfaceError) as error:
        raise CommandError(f"{error}\nTo go on: {walk.resume}") from error


def _order_id(text: str) -> str:
    if not text.isprintable():
        raise ArgumentTypeError("is the id of an order")
    return text


def _position(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) < 2**63:
        raise ArgumentTypeError("is a position of the log, 1 or more")
    return int(text)
