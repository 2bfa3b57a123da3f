"""What keeps the code in its shape: who may import whom, sizes, names, the one SQL dialect."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from tests.cockroachdb import LACKS, SentStatements

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("eventstore", "orders_site", "payments", "queries", "restaurant")
LONGEST_FILE = 300
# The one settings file may grow; generated code is nobody's to shorten.
MAY_BE_LONG = {"orders_site/settings.py"}
SAYS_NOTHING = {"utils", "util", "helpers", "common", "misc", "base", "manager", "managers"}
# Django asks for this name in a database backend.
NAMED_BY_DJANGO = {"orders_site/embedded/database/base.py"}


def source_files() -> list[Path]:
    """Our own Python files: no migrations, no generated code."""
    return [
        path
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if "migrations" not in path.parts and "_pb2" not in path.name
    ]


def test_the_import_contracts_hold() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    run = subprocess.run(
        [str(linter), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout
    assert "Contexts are independent of each other KEPT" in run.stdout


def test_no_source_file_is_a_room_that_wants_a_wall() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in source_files()
    }
    assert len(lengths) > 100
    long = {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE}
    assert long.keys() <= MAY_BE_LONG


def test_file_names_say_something() -> None:
    tests = sorted((ROOT / "tests").rglob("*.py"))
    named = {str(path.relative_to(ROOT)): path.stem for path in [*source_files(), *tests]}
    assert {name for name, stem in named.items() if stem in SAYS_NOTHING} == NAMED_BY_DJANGO


def test_every_file_says_what_lives_in_it() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in source_files()
        if path.name != "apps.py" and not path.read_text().startswith('"""')
        if path.read_text().strip()
    ]
    assert silent == []


def test_the_production_settings_are_clean_and_no_migration_is_missing() -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "production_check.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "no issues" in run.stdout
    assert "No changes detected" in run.stdout


# -- compose.yaml -------------------------------------------------------------------------------


def compose() -> dict[str, dict]:
    """The services of compose.yaml that are ours."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    ours = {name: service for name, service in services.items() if service.get("build") == "."}
    assert len(ours) >= 10
    return ours


def test_compose_starts_only_commands_that_there_are() -> None:
    known, started = get_commands(), set()
    for name, service in compose().items():
        entrypoint, command = service.get("entrypoint"), service["command"]
        match entrypoint:
            case None:
                started.add(command[0])
                app = known[command[0]]
                assert isinstance(app, str)
                parser = load_command_class(app, command[0]).create_parser("manage.py", command[0])
                parser.parse_args(command[1:])
            case ["celery", "-A", "orders_site.celery"]:
                started.add(f"celery {command[0]}")
            case ["python", "-m", "payments.gateways.sandbox"]:
                started.add("gateway")
            case _:
                raise AssertionError(f"{name}: {entrypoint}")
    assert started == {
        *("run_web", "run_eventstore", "migrate_all", "subscribe_ordering", "subscribe_payments"),
        *("subscribe_restaurant", "subscribe_queries", "celery worker", "celery beat", "gateway"),
        "sign_checkpoint",
    }


def test_compose_sets_only_settings_that_there_are() -> None:
    from orders_site.checks import REQUIRED_IN_PRODUCTION

    for name, service in compose().items():
        given = {key for key in service["environment"] if key.startswith("ORDERS_")}
        assert given <= settings.ENVIRONMENT.known, name
        if name != "gateway":
            assert {f"ORDERS_{key}" for key in REQUIRED_IN_PRODUCTION} <= given, name


def test_nats_of_compose_gives_the_rights_that_the_embedded_one_gives(tmp_path) -> None:
    from orders_site.embedded.credentials import load_or_create
    from orders_site.embedded.nats import EmbeddedNats

    embedded = EmbeddedNats(tmp_path, 4222, load_or_create(tmp_path))._config()
    text = (ROOT / "deploy" / "nats.conf").read_text()
    events, subscribers = embedded["accounts"]["EVENTS"], embedded["accounts"]["SUBSCRIBERS"]
    for each in events["exports"]:
        (line,) = [
            f"{kind}: {json.dumps(each[kind])}" for kind in ("stream", "service") if kind in each
        ]
        shape = f", response_type: {each['response_type']}" if "response_type" in each else ""
        assert f"{{ {line}{shape} }}" in text
    for each in subscribers["imports"]:
        ((kind, taken),) = each.items()
        subject = json.dumps(taken["subject"])
        assert f"{{ {kind}: {{ account: {taken['account']}, subject: {subject} }} }}" in text
    assert text.count("{ service:") == len(events["exports"]) + len(subscribers["imports"]) - 2
    for user in [*events["users"], *subscribers["users"]]:
        block = re.search(rf"user: {user['user']},.+?\}} \}}", text, re.S)
        assert block is not None
        for direction, subjects in user["permissions"].items():
            listed = re.search(rf"{direction}: (\[[^]]+\])", block[0])
            assert listed is not None
            assert sorted(json.loads(listed[1])) == sorted(subjects)


# -- The one SQL dialect ------------------------------------------------------------------------


@pytest.mark.django_db(databases=list(settings.DATABASES))
@pytest.mark.parametrize("alias", list(settings.DATABASES))
def test_migrations_keep_to_what_cockroachdb_has(alias: str) -> None:
    executor = MigrationExecutor(connections[alias], progress_callback=None)
    nodes = sorted(executor.loader.graph.nodes)
    plan = [(executor.loader.graph.nodes[node], False) for node in nodes]
    sql = "\n".join(executor.loader.collect_sql(plan))
    assert "CREATE TABLE" in sql
    if alias == "eventstore":
        assert "eventstore_event_is_immutable" in sql
    found = {
        name: match[0][:200]
        for name, pattern in LACKS.items()
        if (match := re.search(pattern, sql, re.I | re.S))
    }
    assert found == {}


def test_the_look_through_sql_finds_what_it_looks_for() -> None:
    forbidden = (
        "ALTER TABLE a ADD CONSTRAINT b UNIQUE (c) DEFERRABLE INITIALLY DEFERRED",
        "SELECT pg_advisory_xact_lock(1)",
        "NOTIFY news",
        "SELECT xmin FROM a",
        "TRUNCATE a",
        "CREATE TRIGGER t AFTER INSERT ON a EXECUTE FUNCTION f()",
        "CREATE TABLE a (id bigserial)",
    )
    for pattern, statement in zip(LACKS.values(), forbidden, strict=True):
        assert re.search(pattern, statement, re.I | re.S), statement


@pytest.mark.django_db
def test_what_a_test_sends_is_watched(sent_statements: SentStatements) -> None:
    before = set(sent_statements.refused)
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [1])
    assert sent_statements.refused - before == {"SELECT pg_advisory_xact_lock(%s)"}
    sent_statements.refused = before


def test_code_sends_no_sql_that_cockroachdb_lacks() -> None:
    patterns = {
        name: pattern
        for name, pattern in LACKS.items()
        if name in ("advisory lock", "xmin", "TRUNCATE")
    }
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in source_files()
        if "embedded" not in path.parts  # drives its own PostgreSQL
        for name, pattern in patterns.items()
        if re.search(pattern, path.read_text())
    ]
    assert found == []
