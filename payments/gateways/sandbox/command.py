"""The command line of the sandbox: its options, its key, its start and its stop."""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from payments.gateways.sandbox.api import Api
from payments.gateways.sandbox.ledger import Ledger, LedgerUnusable
from payments.gateways.sandbox.server import Server
from payments.gateways.sandbox.service import Service

STOP_SECONDS = 5.0
_STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


class UsageError(Exception):
    """The command was called wrongly."""


class StartError(Exception):
    """The sandbox can't start."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 stopped in order, 1 could not start, 2 called wrongly."""
    # Signals wait from here on, in all threads, until `sigwait` takes one: no handler, no race.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    os.umask(0o077)
    options = _parser().parse_args(arguments)
    try:
        _run(options, read_api_key(options.api_key_file, os.environ))
    except UsageError as error:
        _say(f"refuses to start: {error}", sys.stderr)
        return 2
    except StartError as error:
        _say(f"refuses to start: {error}", sys.stderr)
        return 1
    return 0


def read_api_key(file: Path | None, environment: Mapping[str, str]) -> str:
    """The key in the file, or without a file that in GATEWAY_API_KEY."""
    if file is None:
        key, source = environment.get("GATEWAY_API_KEY", ""), "GATEWAY_API_KEY"
    else:
        source = str(file)
        try:
            key = file.read_text(encoding="ascii").strip()
        except OSError as error:
            raise UsageError(f"can't read the API key from {file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"the API key in {file} is not ASCII") from error
    if not key:
        raise UsageError(f"no API key: {source} is empty; use --api-key-file or GATEWAY_API_KEY")
    if not all("!" <= character <= "~" for character in key):
        raise UsageError(f"the API key in {source} must be visible ASCII without spaces")
    return key


def _run(options: argparse.Namespace, api_key: str) -> None:
    ledger = _open_ledger(options.ledger)
    stopping = threading.Event()
    api = Api(Service(ledger, stopping.wait), api_key)
    try:
        server = Server(options.port, api, options.hang_seconds, stopping)
    except OSError as error:
        ledger.close()
        raise StartError(f"can't listen on 127.0.0.1:{options.port}: {error.strerror}") from error
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _say(f"ready on http://127.0.0.1:{server.port}", sys.stdout)
    signal.sigwait(_STOP_SIGNALS)
    stopping.set()
    server.shutdown()
    server.server_close()
    server.drain(STOP_SECONDS)
    ledger.close()


def _say(text: str, stream: TextIO | None) -> None:
    """A closed stream is None, one whose reader is gone breaks; neither is a reason to stop."""
    if stream is None:
        return
    try:
        stream.write(f"sandbox gateway {text}\n")
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_ledger(path: Path) -> Ledger:
    try:
        return Ledger(path)
    except LedgerUnusable as error:
        raise StartError(f"can't use {path} as a ledger: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m payments.gateways.sandbox",
        description="A payment gateway to develop and test against. It moves no real money.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--port", type=_port, default=8101, help="0 takes a free one (default 8101)"
    )
    parser.add_argument("--ledger", type=Path, required=True, help="SQLite file, made if missing")
    parser.add_argument(
        "--api-key-file", type=Path, help="file with the API key (default: from GATEWAY_API_KEY)"
    )
    parser.add_argument(
        "--hang-seconds",
        type=_seconds,
        default=30.0,
        help="how long a request that is never answered is held (default 30)",
    )
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("seconds are a number from 0 to 3600")
    return seconds
