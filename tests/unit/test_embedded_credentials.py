"""The generated secrets of a data folder."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orders_site.embedded import credentials

ROOT = Path(__file__).parents[2]
# As root Postgres' own user has to pass through the data folder.
DATA_DIR_MODE = 0o711 if os.geteuid() == 0 else 0o700


def test_given_no_data_folder_when_loading_then_there_are_no_credentials(tmp_path):
    assert credentials.load(tmp_path / "missing") is None


def test_given_no_data_folder_when_creating_then_folder_and_file_are_closed_to_others(tmp_path):
    data_dir = tmp_path / "deep" / "data"

    created = credentials.load_or_create(data_dir)

    assert data_dir.stat().st_mode & 0o777 == DATA_DIR_MODE
    assert (data_dir / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in data_dir.iterdir()] == ["credentials.json"]
    assert credentials.load(data_dir) == created


def test_given_credentials_when_creating_again_then_they_are_the_same(tmp_path):
    assert credentials.load_or_create(tmp_path) == credentials.load_or_create(tmp_path)


def test_given_many_processes_when_all_create_at_once_then_all_get_the_same(tmp_path):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        created = pool.map(credentials.load_or_create, [tmp_path / "data"] * 16, chunksize=1)

    assert len({each.django_secret_key for each in created}) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["credentials.json"]


def test_given_credentials_when_printed_then_no_secret_shows(tmp_path):
    created = credentials.load_or_create(tmp_path)

    assert repr(created) == "Credentials()"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"django_secret_key": "x"}'])
def test_given_a_damaged_file_when_loading_then_the_error_names_it(tmp_path, content):
    (tmp_path / "credentials.json").write_text(content)

    with pytest.raises(ValueError, match=r"credentials\.json is damaged"):
        credentials.load(tmp_path)


def test_given_tests_that_need_no_server_when_run_then_they_leave_no_credentials_behind(tmp_path):
    outside = {key: value for key, value in os.environ.items() if not key.startswith("ORDERS_")}
    outside |= {"TMPDIR": str(tmp_path), "PYTEST_DEBUG_TEMPROOT": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]

    done = subprocess.run([*command, "tests/unit/test_money.py"], env=outside, cwd=ROOT)

    assert done.returncode == 0
    assert list(tmp_path.glob("**/credentials.json")) == []
