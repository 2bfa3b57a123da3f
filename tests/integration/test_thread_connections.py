"""A thread that answers requests goes on with connections that work, whatever became of them."""

import io
import threading
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from django.core.signals import request_finished, request_started
from django.db import (
    OperationalError,
    close_old_connections,
    connection,
    connections,
    reset_queries,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from eventstore.client.connection import use
from eventstore.client.memory import InMemoryEventStore
from orders_site import thread_connections

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def application() -> Iterator[Any]:
    """As the web server runs it; Django's own receivers are back afterwards."""
    use(InMemoryEventStore())
    from orders_site.wsgi import Application

    thread_connections.look_after_opened()
    yield Application()
    use(None)
    for signal in (request_started, request_finished):
        signal.disconnect(thread_connections._look_after)
        signal.connect(close_old_connections)
    request_started.connect(reset_queries)
    connection_created.disconnect(thread_connections._remember)


def in_a_thread(work: Callable[[], object]) -> None:
    """Do it in a thread that has no connection yet; raises what went wrong there."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as failure:
            failures.append(failure)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def asked(application: Any, path: str, **server: Any) -> tuple[str, dict[str, str], Any]:
    """Status, headers and body of the answer, under a server that has these things besides."""
    begun: list[Any] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(),
        "wsgi.url_scheme": "http",
        **server,
    }
    body = application(environ, lambda *given: begun.append(given))
    status, headers = begun[0][:2]
    return status, dict(headers), body


def status_of(application: Any) -> str:
    """Of the answer to a look at the database."""
    return asked(application, "/readyz")[0][:3]


def test_an_answer_in_memory_is_one_piece_and_ends_its_request(application):
    ended: list[object] = []

    def note(**_: Any) -> None:
        ended.append(threading.current_thread())

    request_finished.connect(note)
    try:
        status, headers, body = asked(application, "/readyz")
    finally:
        request_finished.disconnect(note)
    assert status.startswith("200")
    assert isinstance(body, list)
    assert len(body) == 1
    assert headers["Content-Type"] == "application/json"
    assert ended == [threading.current_thread()]


@pytest.mark.parametrize("server", [{}, {"wsgi.file_wrapper": FileWrapper}])
def test_a_file_is_streamed_as_the_server_can(application, server):
    status, headers, body = asked(application, "/static/admin/css/base.css", **server)
    assert status.startswith("200")
    assert not isinstance(body, list)
    assert isinstance(body, FileWrapper) == bool(server)
    assert len(b"".join(body)) == int(headers["Content-Length"])
    body.close()


def test_a_connection_that_was_cut_between_requests_is_replaced(application):
    def work() -> None:
        assert status_of(application) == "200"
        backend = connection.connection.info.backend_pid
        with connection.copy().temporary_connection() as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])
        assert status_of(application) == "200"
        assert connection.connection.info.backend_pid != backend

    in_a_thread(work)


def test_a_connection_is_kept_from_request_to_request(application):
    def work() -> None:
        assert status_of(application) == "200"
        backend = connection.connection.info.backend_pid
        assert status_of(application) == "200"
        assert connection.connection.info.backend_pid == backend

    in_a_thread(work)


def test_a_connection_that_was_lost_while_it_was_opened_is_not_kept(application, monkeypatch):
    initial = BaseDatabaseWrapper.init_connection_state

    def work() -> None:
        monkeypatch.setattr(type(connections["default"]), "init_connection_state", lost)
        assert status_of(application) == "503"
        monkeypatch.undo()
        assert status_of(application) == "200"

    def lost(self: BaseDatabaseWrapper) -> None:
        initial(self)
        self.connection.close()
        raise OperationalError("the connection was lost")

    in_a_thread(work)
