"""The real servers that tests share, each started by the first test that needs it."""

import shutil
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db.backends.signals import connection_created

from eventstore.client.connection import use
from eventstore.client.memory import InMemoryEventStore
from orders_site import gathering
from orders_site.embedded.credentials import load_or_create
from orders_site.embedded.nats import EmbeddedNats
from orders_site.embedded.servers import running
from tests.cockroachdb import SentStatements
from tests.database_server import HELP, OPTION, given


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, help=HELP)


def pytest_report_header() -> str:
    server = given()
    return f"database server: {'given by ' + OPTION if server else 'the embedded PostgreSQL'}"


def pytest_unconfigure() -> None:
    """The settings have made the data folder, with secrets in it, whatever the tests needed."""
    if settings.configured and settings.DATA_DIR.name.startswith("orders-tests-"):
        shutil.rmtree(settings.DATA_DIR, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def sent_statements() -> Iterator[SentStatements]:
    """No test makes the product send what CockroachDB refuses."""
    sent = SentStatements()
    connection_created.connect(sent.watch, weak=False)
    yield sent
    connection_created.disconnect(sent.watch)
    assert sent.refused == set()


@pytest.fixture(autouse=True)
def no_shared_connections() -> Iterator[None]:
    """None outlives its test, lest it be in the way when the tables are emptied."""
    yield
    gathering.close_shared()


@pytest.fixture(scope="session")
def data_dir() -> object:
    return settings.DATA_DIR


@pytest.fixture(scope="session")
def postgres(data_dir) -> Iterator[object]:
    """The server of the test databases: the given one, or an embedded PostgreSQL, without fsync."""
    if server := given():
        yield server
        return
    with running(
        data_dir, nats_port=0, valkey_port=0, wanted=["postgres"], durable=False
    ) as servers:
        yield servers.postgres


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres) -> None:
    """pytest-django asks for this before it creates the five test databases."""


@pytest.fixture
def nats_server(data_dir, tmp_path) -> Iterator[EmbeddedNats]:
    """An empty NATS of this test's own, on the settings' port."""
    server = EmbeddedNats(tmp_path, settings.NATS_PORT, load_or_create(data_dir))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def memory_store() -> Iterator[InMemoryEventStore]:
    """An empty in-memory event store as the process's event store."""
    store = InMemoryEventStore()
    use(store)
    yield store
    use(None)
