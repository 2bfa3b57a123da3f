"""Fixtures of the admin's tests: a superuser, orders to look at, an event store that goes away."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from eventstore.client import Unavailable
from eventstore.client.connection import use
from tests.console_rows import World
from tests.integration.admin_users import browser


class AwayStore:
    """An event store that can't be reached."""

    def __getattr__(self, name: str) -> object:
        raise Unavailable


@pytest.fixture
def world(memory_store) -> World:
    """Restaurants, and no order yet."""
    world = World(memory_store)
    world.restaurants()
    return world


@pytest.fixture
def boss() -> Client:
    """A superuser's browser."""
    return browser(User.objects.create_superuser("boss"))


@pytest.fixture
def away(memory_store) -> Callable[[], None]:
    """Call it, and the event store can't be reached from then on."""
    return lambda: use(AwayStore())  # type: ignore[arg-type]
