"""What `manage.py up` has a process of its own do when the databases run and nothing else does: the
supervisor needs none of what this loads. It is run as `python -m orders_site.prepare`.
"""

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from orders_site.embedded.forking import Child, ForkServer
from orders_site.embedded.process import EmbeddedServerError

MODULE = "orders_site.prepare"
LAST_STEPS_SECONDS = 10.0


@dataclass(frozen=True)
class Prepared:
    """The databases that needed migrations; the secrets, if they were created now."""

    migrated: list[str]
    admin_password: str | None
    api_token: str | None


def prepared(forks: ForkServer, folder: Path) -> Prepared:
    """Have it done, and return when it is; raises EmbeddedServerError with what went wrong.

    Whoever is interrupted here gives it ten more seconds: a migration should not be broken off.
    """
    ours, theirs = os.pipe()
    with open(ours) as output:
        try:
            child = forks.start(["-m", MODULE], folder, theirs)
        finally:
            os.close(theirs)
        try:
            *_, last = output.read().strip().splitlines() or ["it said nothing"]
        finally:
            _let_it_end(child)
    try:
        return Prepared(**json.loads(last))
    except (ValueError, TypeError):
        raise EmbeddedServerError(f"the databases can't be prepared: {last}") from None


def _let_it_end(child: Child) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(LAST_STEPS_SECONDS)
        return
    child.kill()
    child.wait()


def main() -> None:
    """Migrate, and create what a first start needs; the last line says what was done."""
    import django
    from django.core.management import call_command
    from django.db import DatabaseError

    django.setup()
    from orders_site import bootstrap

    try:
        migrated = bootstrap.migrate()
        call_command("create_demo_restaurants", verbosity=0)
        done = Prepared(migrated, bootstrap.ensure_admin(), bootstrap.ensure_api_client())
    except (DatabaseError, OSError) as error:
        sys.exit(" ".join(str(error).split()))
    sys.stdout.write(json.dumps(asdict(done)) + os.linesep)


if __name__ == "__main__":
    main()
