"""When the gateway's silence is one message's wait, and when an outage."""

from datetime import timedelta

import pytest

from eventstore.client import RetryLater
from payments.gateways.memory import InMemoryGateway
from payments.gateways.port import GatewayRefusedCredentials, GatewayUnavailable
from payments.outages import GatewayAway, translated


class SilentGateway(InMemoryGateway):
    """Answers nothing at all."""

    def list_movements(self, after=None, limit=100):
        raise GatewayUnavailable("connection refused")


def delay_after(waited_seconds: float, retry_after: float | None = None) -> float:
    with pytest.raises(RetryLater) as raised:
        with translated(InMemoryGateway(), timedelta(seconds=waited_seconds)):
            raise GatewayUnavailable("no answer", retry_after)
    return raised.value.delay_seconds


def test_a_call_without_an_answer_at_a_gateway_that_answers_others_waits_alone() -> None:
    assert delay_after(0) == 1.0


def test_the_pauses_grow_with_the_time_waited_up_to_a_minute() -> None:
    assert delay_after(7) == 7.0
    assert delay_after(3600) == 60.0


def test_a_wall_clock_that_went_back_does_not_make_the_pause_negative() -> None:
    assert delay_after(-3600) == 1.0


def test_the_pause_is_no_shorter_than_the_gateway_asks_for() -> None:
    assert delay_after(0, retry_after=10.0) == 10.0


def test_a_gateway_that_answers_nothing_is_an_outage() -> None:
    with pytest.raises(GatewayAway):
        with translated(SilentGateway(), timedelta(0)):
            raise GatewayUnavailable("connection refused")


def test_a_gateway_that_refuses_our_key_is_an_outage() -> None:
    with pytest.raises(GatewayAway, match="API key"):
        with translated(InMemoryGateway(), timedelta(0)):
            raise GatewayRefusedCredentials("invalid_api_key", "No such key.")
