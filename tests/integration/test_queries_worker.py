"""The command that runs a worker of the query models."""

import pytest

from queries.management.commands.subscribe_queries import Command
from queries.models import Checkpoint, ParkedMessage
from queries.projector import OrderProjector


@pytest.mark.parametrize("name", ["orderquery-store1", "orderquery-store2"])
def test_workers_of_any_name_share_one_subscription(memory_store, name):
    command = Command()
    parsed = command.create_parser("manage.py", "subscribe_queries").parse_args(["--name", name])
    subscription = command.subscription(vars(parsed))
    assert (subscription.name, subscription.worker) == ("orderquery-store", name)
    assert isinstance(subscription.handler, OrderProjector)
    assert subscription.store is memory_store
    assert subscription.database == "queries"
    assert (subscription.checkpoints, subscription.parked) == (Checkpoint, ParkedMessage)


def test_a_worker_without_a_name_gets_one():
    parsed = Command().create_parser("manage.py", "subscribe_queries").parse_args([])
    assert parsed.worker
