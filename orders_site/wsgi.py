"""The WSGI application that the web server runs."""

import os
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import django
from django.core.handlers.wsgi import WSGIHandler
from django.db import close_old_connections
from django.http import HttpResponse, HttpResponseBase

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orders_site.settings")
django.setup(set_prefix=False)

from orders_site.thread_connections import look_after_opened  # noqa: E402 - needs the settings


class Application(WSGIHandler):
    """Django's, which gives the server an answer that is in memory in one piece.

    The server would ask an iterator for it piece by piece, and each time wait for the interpreter
    behind the other threads.
    """

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        answer: Any = super().__call__(environ, start_response)
        if not isinstance(answer, HttpResponseBase):
            return answer  # a file, in the wrapper that some servers have for it
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # It may have left a connection that was lost while it was being opened.
            close_old_connections()
        if not isinstance(answer, HttpResponse):
            return answer  # a stream
        body = [answer.content]
        answer.close()
        return body


application = Application()
look_after_opened()
