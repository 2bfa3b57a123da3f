"""What the commands on the log share: options that are positions, streams and files."""

from argparse import ArgumentTypeError
from pathlib import Path

from eventstore.client.validation import is_stream_name

INTERRUPTED = 130
USAGE = 2


def position(text: str) -> int:
    """An argument that is a position of the log."""
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 1 <= int(text) < 2**63):
        raise ArgumentTypeError("is a position of the log, 1 or more")
    return int(text)


def stream(text: str) -> str:
    """An argument that is the name of a stream."""
    if not is_stream_name(text):
        raise ArgumentTypeError("is the name of a stream")
    return text


def path(text: str) -> Path:
    """An argument that is a file or folder."""
    if not text or "\x00" in text:
        raise ArgumentTypeError("is the path of a file")
    return Path(text)
