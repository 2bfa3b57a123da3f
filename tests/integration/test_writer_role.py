"""The database role of the event store: it appends and reads, and can change nothing."""

from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections

from tests.contract import stores
from tests.contract.new_events import new_event
from tests.contract.test_event_store import assert_gapless
from tests.integration import tampering

pytestmark = pytest.mark.django_db(databases=["eventstore"], transaction=True)


@pytest.fixture
def role():
    """A role that may log in, dropped at the end."""
    name = f'writer-{uuid4()}"; x'
    quoted = '"' + name.replace('"', '""') + '"'
    tampering.run_sql(f"CREATE ROLE {quoted} LOGIN".replace("%", "%%"))
    yield name
    tampering.run_sql(f"DROP OWNED BY {quoted}")
    tampering.run_sql(f"DROP ROLE {quoted}")


@pytest.fixture
def owner():
    with stores.sql() as store:
        yield store


@pytest.fixture
def writer(owner, role):
    """The store under the granted role."""
    call_command("grant_writer", role, stdout=StringIO())
    settings = connections.settings["eventstore"]
    before = settings["USER"]
    connections["eventstore"].close()
    settings["USER"] = role
    yield owner
    connections["eventstore"].close()
    settings["USER"] = before


def test_the_store_works_under_the_role(writer, role) -> None:
    store = writer
    with connections["eventstore"].cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == (role,)
    store.append([new_event("a"), new_event("a")], expected_version=0)
    store.append([new_event("b")])
    assert_gapless(store, 3)
    assert len(store.read_aggregate("a")) == 2
    assert store.create_stream("NEW").position == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE eventstore_event SET data = '{}'",
        "UPDATE eventstore_event SET hash = ''",
        "DELETE FROM eventstore_event",
        "TRUNCATE eventstore_event",
        "DELETE FROM eventstore_stream",
        "TRUNCATE eventstore_stream",
        "ALTER TABLE eventstore_event DISABLE TRIGGER ALL",
        "ALTER TABLE eventstore_event ADD COLUMN more text",
        "DROP TRIGGER eventstore_event_is_immutable ON eventstore_event",
        "DROP TABLE eventstore_event",
        "CREATE OR REPLACE FUNCTION eventstore_refuse_change() RETURNS TRIGGER LANGUAGE plpgsql "
        "AS $$ BEGIN RETURN OLD; END $$",
        "CREATE TABLE mine (id int)",
        "SET session_replication_role = replica",
    ],
)
def test_the_role_can_change_nothing(writer, statement) -> None:
    writer.append([new_event("a")])
    with pytest.raises(DatabaseError, match=r"permission denied|must be owner"):
        tampering.run_sql(statement)
    assert_gapless(writer, 1)


def test_rights_that_the_role_had_are_taken_away(owner, role) -> None:
    quoted = '"' + role.replace('"', '""') + '"'
    tampering.run_sql(f"GRANT ALL ON eventstore_event TO {quoted}")
    call_command("grant_writer", role, stdout=StringIO())
    call_command("grant_writer", role, stdout=StringIO())
    with connections["eventstore"].cursor() as cursor:
        cursor.execute("SELECT has_table_privilege(%s, 'eventstore_event', 'TRUNCATE')", [role])
        assert cursor.fetchone() == (False,)


def refused(*arguments: str) -> CommandError:
    with pytest.raises(CommandError) as refusal:
        call_command("grant_writer", *arguments, stdout=StringIO())
    return refusal.value


def test_a_right_that_comes_from_elsewhere_is_told(owner, role) -> None:
    tampering.run_sql("GRANT DELETE ON eventstore_event TO PUBLIC")
    try:
        assert "still has DELETE on eventstore_event" in str(refused(role))
    finally:
        tampering.run_sql("REVOKE DELETE ON eventstore_event FROM PUBLIC")


def test_a_superuser_or_owner_is_refused(owner) -> None:
    assert "is a superuser or owns the tables" in str(refused("postgres"))


def test_a_role_that_is_not_there_is_refused(owner) -> None:
    assert "there is no role nobody-here" in str(refused("nobody-here"))


@pytest.mark.parametrize("name", ["", "a\x00b", "x" * 64])
def test_what_can_be_no_role_is_called_wrongly(name) -> None:
    assert refused(name).returncode == 2


def test_the_sql_may_only_be_printed(owner, role) -> None:
    out = StringIO()
    call_command("grant_writer", role, "--print", stdout=out)
    quoted = '"' + role.replace('"', '""') + '"'
    assert out.getvalue().splitlines() == [
        f"GRANT USAGE ON SCHEMA public TO {quoted};",
        f'REVOKE ALL ON "eventstore_event" FROM {quoted};',
        f'GRANT SELECT, INSERT ON "eventstore_event" TO {quoted};',
        f'REVOKE ALL ON "eventstore_stream" FROM {quoted};',
        f'GRANT SELECT, INSERT, UPDATE ON "eventstore_stream" TO {quoted};',
    ]
    with connections["eventstore"].cursor() as cursor:
        cursor.execute("SELECT has_table_privilege(%s, 'eventstore_event', 'INSERT')", [role])
        assert cursor.fetchone() == (False,)
