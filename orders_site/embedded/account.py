"""The system user that Postgres runs as when we are root, and the folders that user must pass."""

import logging
import os
import pwd
import subprocess
from pathlib import Path

NAME = "embedded_postgres"

_logger = logging.getLogger(__name__)


def server_account(pgdata: Path) -> tuple[int, int] | None:
    """User and group id to run Postgres as; None where we are not root and it runs as ourselves.

    Data that exists keeps its owner. Else the user is NAME, created if missing, or `nobody`
    where no user can be created.
    """
    if os.geteuid() != 0:
        return None
    if pgdata.exists() and (owner := pgdata.stat()).st_uid != 0:
        return owner.st_uid, owner.st_gid
    entry = _user(NAME) or _created_user() or pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def open_path_to(folder: Path) -> None:
    """Let other users pass (not read) the parents of `folder`, where they cannot yet."""
    for parent in reversed(folder.resolve().parents):
        mode = parent.stat().st_mode
        if not mode & 0o001:
            _logger.warning("letting Postgres' system user pass through %s (chmod o+x)", parent)
            parent.chmod((mode & 0o7777) | 0o001)


def _user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _created_user() -> pwd.struct_passwd | None:
    command = ["useradd", "--system", "--user-group", "--no-create-home", NAME]
    try:
        subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    # Looked up even after a failure: another process may have created it just now.
    return _user(NAME)
