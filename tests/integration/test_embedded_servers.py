"""All embedded servers run together, as `manage.py up` and the tests run them."""

import shutil
import socket
import tempfile
from pathlib import Path

import psycopg
import pytest

from orders_site.embedded import servers
from orders_site.embedded.ports import free_port
from orders_site.embedded.postgres import EmbeddedPostgres, socket_dir
from orders_site.embedded.process import EmbeddedServerError


@pytest.fixture
def data_dir():
    folder = Path(tempfile.mkdtemp(prefix="orders-servers-"))
    yield folder
    shutil.rmtree(folder)
    shutil.rmtree(socket_dir(folder), ignore_errors=True)


def test_given_all_servers_when_run_together_then_they_and_the_databases_are_there(data_dir):
    with servers.running(
        data_dir,
        nats_port=free_port(),
        valkey_port=free_port(),
        databases=["orders", "orders", "payments"],
        durable=False,
    ) as up:
        psycopg.connect(up.postgres.url("payments")).close()
        everything = (up.postgres, up.nats, up.valkey)
        assert all(server.is_running() for server in everything)

    assert not any(server.is_running() for server in everything)


def test_given_a_server_that_cannot_start_when_run_together_then_the_others_are_stopped(data_dir):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]

        with pytest.raises(EmbeddedServerError, match="VALKEY_PORT"):
            with servers.running(data_dir, nats_port=free_port(), valkey_port=taken, durable=False):
                pass

    assert not EmbeddedPostgres(data_dir).is_running()
