"""What a worker process of the web server runs: the application, while the server lives."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

from orders_site import wsgi
from orders_site.slow_clients import SlowClients

__all__ = ["application"]

PR_SET_PDEATHSIG = 1
slow_clients = SlowClients()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The WSGI application, with bodies that can't hold its thread for ever."""
    if environ.get("CONTENT_LENGTH"):
        environ["wsgi.input"] = slow_clients.body(environ)
    return wsgi.application(environ, start_response)


def end_with_the_server() -> None:
    """Have the kernel end this process when the server that started it is killed.

    Otherwise it would go on answering for ever, with the settings and the code of then, and share
    the port with the next server. Linux only; does nothing in a process that is no worker.
    """
    server = multiprocessing.parent_process()
    if server is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server.pid:
        os._exit(1)  # it was killed before the kernel knew


end_with_the_server()
if multiprocessing.parent_process() and sys.platform == "linux":
    slow_clients.watch()
