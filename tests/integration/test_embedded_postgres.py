"""What only the embedded Postgres can run into: its data, its lock files, its socket."""

import os
import shutil
import tempfile
from pathlib import Path

import psycopg
import pytest

from orders_site.embedded.postgres import EmbeddedPostgres, socket_dir
from orders_site.embedded.process import EmbeddedServerError


@pytest.fixture
def data_dir():
    folder = Path(tempfile.mkdtemp(prefix="orders-postgres-"))
    yield folder
    shutil.rmtree(folder)
    shutil.rmtree(socket_dir(folder), ignore_errors=True)


def test_given_an_initdb_that_was_cut_off_when_started_then_it_is_done_again(data_dir):
    (data_dir / "postgres.initdb").mkdir()
    (data_dir / "postgres.initdb" / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(data_dir, durable=False)

    server.start()
    try:
        assert server.is_running()
    finally:
        server.stop()


def test_given_a_postmaster_pid_of_a_reused_pid_when_started_then_it_does_not_stop_us(data_dir):
    server = EmbeddedPostgres(data_dir, durable=False)
    server.start()
    server.stop()
    (server.pgdata / "postmaster.pid").write_text(f"{os.getpid()}\n{server.pgdata}\n")

    server.start()
    server.stop()


def test_given_a_socket_folder_of_somebody_else_when_started_then_it_is_refused(data_dir):
    if os.geteuid() != 0:
        pytest.skip("not run: giving a folder away needs root")
    server = EmbeddedPostgres(data_dir, durable=False)
    server.socket_dir.mkdir()
    os.chown(server.socket_dir, 1, 1)

    try:
        with pytest.raises(EmbeddedServerError, match="belongs to another user"):
            server.start()
    finally:
        server.socket_dir.rmdir()
    assert not server.is_running()


def test_given_broken_data_when_started_then_the_error_has_the_servers_last_words(data_dir):
    server = EmbeddedPostgres(data_dir, durable=False)
    server.start()
    server.stop()
    (server.pgdata / "PG_VERSION").write_text("9\n")

    with pytest.raises(EmbeddedServerError, match=r"FATAL.*\(log: .*postgres\.log\)"):
        server.start()


def test_given_a_durable_server_when_asked_then_it_syncs_its_data(data_dir):
    server = EmbeddedPostgres(data_dir)
    server.start()
    try:
        with psycopg.connect(server.url("postgres")) as connection:
            shown = [
                connection.execute(f"SHOW {name}").fetchone()[0]
                for name in ("fsync", "synchronous_commit", "full_page_writes", "max_connections")
            ]
        assert shown == ["on", "on", "on", "200"]
    finally:
        server.stop()


def test_given_a_deep_data_folder_when_started_then_its_socket_still_fits(data_dir):
    server = EmbeddedPostgres(data_dir / ("x" * 100) / ("y" * 100), durable=False)

    server.start()
    try:
        assert server.socket_dir.stat().st_mode & 0o777 == 0o700
    finally:
        server.stop()


def test_given_a_stopped_server_when_looking_for_its_socket_folder_then_it_is_gone(data_dir):
    server = EmbeddedPostgres(data_dir, durable=False)
    server.start()
    assert server.socket_dir.is_dir()

    server.stop()

    assert not server.socket_dir.exists()
