"""What `manage.py up` says when all runs can be pasted as it is."""

import subprocess
from pathlib import Path

from orders_site.management.commands.up import welcome
from orders_site.prepare import Prepared


def test_the_order_to_paste_finds_its_token_in_a_folder_of_any_name(
    settings, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path / "an 'odd' \"$name\" `é`"
    settings.DATA_DIR.mkdir()
    (settings.DATA_DIR / "api-token").write_text("ord_token")
    said = welcome(1.0, Prepared(migrated=[], admin_password=None, api_token=None))
    (header,) = [line.strip(" \\") for line in said.splitlines() if "Authorization" in line]
    done = subprocess.run(
        ["bash", "-c", f"printf %s {header.removeprefix('-H ')}"], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("Authorization: Bearer ord_token", "")
