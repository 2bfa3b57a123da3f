"""Failures are counted by address, forgiven after a while, and kept in bounded memory."""

import pytest
from django.test import RequestFactory

from orders_site import guessing
from orders_site.guessing import Failures, address_of


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def failures(clock) -> Failures:
    return Failures(2, 60, clock)


def test_an_address_waits_once_it_has_failed_so_often(failures) -> None:
    failures.note("10.0.0.1")
    assert failures.wait("10.0.0.1") == 0
    failures.note("10.0.0.1")
    assert failures.wait("10.0.0.1") == 60
    assert failures.wait("10.0.0.2") == 0


def test_the_wait_ends_with_the_window_and_the_count_begins_anew(failures, clock) -> None:
    for _ in range(2):
        failures.note("10.0.0.1")
    clock.now += 59
    assert failures.wait("10.0.0.1") == 1
    clock.now += 1
    assert failures.wait("10.0.0.1") == 0
    failures.note("10.0.0.1")
    assert failures.wait("10.0.0.1") == 0


def test_addresses_without_end_take_no_memory_without_end(failures, clock, monkeypatch) -> None:
    monkeypatch.setattr(guessing, "MOST_ADDRESSES", 3)
    for number in range(3):
        failures.note(f"10.0.0.{number}")
    clock.now += 30
    failures.note("10.0.1.1")
    failures.note("10.0.1.1")
    clock.now += 40
    failures.note("10.0.1.2")
    failures.note("10.0.1.3")
    assert len(failures._counts) <= 3
    assert failures.wait("10.0.1.1") > 0, "a window that runs outlives those that ended"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "peer", "address"),
    [
        (0, "", "10.0.0.1", "10.0.0.1"),
        (0, "6.6.6.6", "10.0.0.1", "10.0.0.1"),
        (1, "6.6.6.6, 10.0.0.2", "10.0.0.1", "10.0.0.2"),
        (2, "6.6.6.6, 10.0.0.2, 10.0.0.3", "10.0.0.1", "10.0.0.2"),
        (2, "10.0.0.3", "10.0.0.1", "10.0.0.3"),
        (1, "", "10.0.0.1", "10.0.0.1"),
        (1, "junk\x00", "10.0.0.1", "unknown"),
        (0, "", "2001:db8::1:2:3:4", "2001:db8::/64"),
        (0, "", "", "unknown"),
    ],
)
def test_an_address_is_what_the_last_proxy_of_ours_saw(
    settings, proxies, forwarded, peer, address
) -> None:
    settings.PROXIES = proxies
    headers = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    assert address_of(RequestFactory().get("/", REMOTE_ADDR=peer, **headers)) == address
