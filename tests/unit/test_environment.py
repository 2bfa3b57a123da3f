"""Settings read from the environment: right values, and every wrong one in plain words."""

from pathlib import Path

import pytest

from orders_site.checks import FILES, files, streams
from orders_site.databases import database_settings
from orders_site.environment import Environment

SECRET = "topsecret"


def database_of(env: Environment) -> dict:
    return database_settings(
        "default",
        env,
        Path("/data"),
        statement_timeout_seconds=30,
        lock_timeout_seconds=5,
        connect_timeout_seconds=5,
    )


@pytest.mark.parametrize("secret", ["$HOME", "$", "$$x", r"\$x"])
def test_a_secret_that_starts_with_a_dollar_is_no_name_of_a_variable(monkeypatch, secret):
    monkeypatch.setenv("ORDERS_SECRET_KEY", secret)
    assert Environment().str("SECRET_KEY", default="unset") == secret


def test_blanks_around_a_value_and_around_the_items_of_a_list_are_dropped(monkeypatch):
    monkeypatch.setenv("ORDERS_WEB_HOST", " 0.0.0.0 ")
    monkeypatch.setenv("ORDERS_ALLOWED_HOSTS", "a.example, b.example ,")
    env = Environment()
    assert env.str("WEB_HOST", default="") == "0.0.0.0"
    assert env.list("ALLOWED_HOSTS", default=[]) == ["a.example", "b.example"]


def test_a_list_of_nothing_counts_as_unset(monkeypatch):
    monkeypatch.setenv("ORDERS_EVENTSTORE_STREAMS", " , ")
    assert Environment().list("EVENTSTORE_STREAMS", default=["ORDERS"]) == ["ORDERS"]


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://u:{SECRET}@h/db",
        f'"postgresql://u:{SECRET}@h/db"',
        f"postgresql://u:{SECRET}/x@h/db",
        f"postgresql://u:{SECRET}@[::1/db",
        f"postgresql://u:{SECRET}@h:70000/db",
        f"postgresql://u:{SECRET}@h/",
        "nonsense",
    ],
)
def test_a_database_url_that_is_none_is_a_problem_that_tells_no_secret(monkeypatch, url):
    monkeypatch.setenv("ORDERS_DATABASE_URL", url)
    env = Environment()
    database_of(env)
    (problem,) = env.problems
    assert problem.startswith("ORDERS_DATABASE_URL ")
    assert SECRET not in problem


def test_the_options_of_a_database_url_stand_beside_our_own(monkeypatch):
    url = "cockroachdb://u@h:26257/db?options=--cluster%3Dpizza-1&sslmode=verify-full"
    monkeypatch.setenv("ORDERS_DATABASE_URL", url)
    env = Environment()
    options = database_of(env)["OPTIONS"]
    assert env.problems == []
    assert options["options"].startswith("--cluster=pizza-1 -c statement_timeout=30s ")
    assert options["sslmode"] == "verify-full"


@pytest.mark.parametrize("url", ["nonsense", "http:nonsense", "https://", "ftp://h", "http://h:x"])
def test_a_url_that_is_none_is_a_problem(monkeypatch, url):
    monkeypatch.setenv("ORDERS_GATEWAY_URL", url)
    env = Environment()
    assert env.url("GATEWAY_URL", "http://default", schemes=("http", "https")) == "http://default"
    assert env.problems == ["ORDERS_GATEWAY_URL is a URL that starts with http:// or https://."]


@pytest.mark.parametrize("text", ["0", "-5", "1000000"])
def test_a_number_out_of_bounds_is_a_problem(monkeypatch, text):
    monkeypatch.setenv("ORDERS_PAUSE", text)
    env = Environment()
    assert env.number("PAUSE", 5.0, least=1, most=10_000) == 5.0
    assert env.problems == ["ORDERS_PAUSE is 1 to 10000."]


@pytest.mark.parametrize("text", ["1e3", "inf", "nan", "5s", "1,5", "1_000", "٣", "0x10", "9" * 30])
def test_a_number_is_in_plain_digits(monkeypatch, text):
    monkeypatch.setenv("ORDERS_PAUSE", text)
    env = Environment()
    assert (env.number("PAUSE", 5.0, least=1), env.number("PAUSE", 5, least=1)) == (5.0, 5)
    assert env.problems == [
        "ORDERS_PAUSE is a number, in plain digits.",
        "ORDERS_PAUSE is a whole number, in plain digits.",
    ]


def test_where_several_urls_may_stand_each_has_to_be_one(monkeypatch):
    monkeypatch.setenv("ORDERS_NATS_URL", "nats://a:4222, nats://u:p@b:4222")
    env = Environment()
    url = env.url("NATS_URL", schemes=("nats",), several=True)
    assert (url, env.problems) == ("nats://a:4222, nats://u:p@b:4222", [])
    monkeypatch.setenv("ORDERS_NATS_URL", "nats://a:4222,b:4222")
    env.url("NATS_URL", schemes=("nats",), several=True)
    assert len(env.problems) == 1


@pytest.mark.parametrize(
    ("address", "problems"),
    [("store:7051", 0), ("[::1]:7051", 0), ("dns:///store:7051", 0), ("store", 1), ("a b:1", 1)],
)
def test_an_address_has_a_host_and_a_port(monkeypatch, address, problems):
    monkeypatch.setenv("ORDERS_EVENTSTORE_ADDRESS", address)
    env = Environment()
    env.address("EVENTSTORE_ADDRESS", "127.0.0.1:7051")
    assert len(env.problems) == problems


@pytest.mark.parametrize(
    ("names", "problems"),
    [
        (["ORDERS", "SHOP"], []),
        (["ORDERS", "ORDERS"], ["orders.E007"]),
        (["ORDERS", "SHOP", "SHOP"], ["orders.E007"]),
        (["SHOP"], ["orders.E007"]),
        (["ORDERS", "a.b"], ["orders.E007"]),
    ],
)
def test_streams_are_named_once_each_and_have_the_orders(settings, names, problems):
    settings.EVENTSTORE_STREAMS = names
    assert [problem.id for problem in streams(None)] == problems


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_named_from_the_root_for_every_process(settings, name):
    assert files(None) == []
    for path, problems in (("/keys/one.pem", 0), ("keys/one.pem", 1), ("~/one.pem", 1)):
        setattr(settings, name, path)
        assert len(files(None)) == problems
