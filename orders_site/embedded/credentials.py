"""The generated secrets of one data folder, in `credentials.json` there."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

FILE_NAME = "credentials.json"


@dataclass(frozen=True)
class Credentials:
    """What the embedded servers and this installation's Django ask for; never printed."""

    django_secret_key: str = field(repr=False)
    nats_publisher_password: str = field(repr=False)
    nats_subscriber_password: str = field(repr=False)
    valkey_password: str = field(repr=False)
    gateway_api_key: str = field(repr=False)


def load(data_dir: Path) -> Credentials | None:
    """The folder's credentials, None if it has none yet; ValueError if the file is damaged."""
    path = data_dir / FILE_NAME
    try:
        stored = json.loads(path.read_text())
        return Credentials(**{each.name: str(stored[each.name]) for each in fields(Credentials)})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: restore it, or delete it to get new ones") from error


def load_or_create(data_dir: Path) -> Credentials:
    """The folder's credentials, generated at the first call; the same for all who call at once."""
    make_data_dir(data_dir)
    if (present := load(data_dir)) is not None:
        return present
    fresh = Credentials(**{each.name: secrets.token_urlsafe(48) for each in fields(Credentials)})
    draft = data_dir / f".{FILE_NAME}.{os.getpid()}.{secrets.token_hex(4)}"
    write_private(draft, json.dumps(asdict(fresh), indent=2))
    try:
        # Unlike a rename a link never replaces, and unlike O_EXCL it appears with its content.
        os.link(draft, data_dir / FILE_NAME)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return load(data_dir) or fresh


def write_private(path: Path, text: str) -> None:
    """Replace `path` by a file that only its owner can read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def make_data_dir(data_dir: Path) -> None:
    """Create the data folder, closed to others; as root Postgres' own user must pass through."""
    if not data_dir.exists():
        data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
