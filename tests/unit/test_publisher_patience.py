"""When a stream that acknowledges nothing is believed to be stuck."""

from eventstore.publishing.stuck import LONGEST_TIMES, TIMES, Patience


def unanswered(patience: Patience, position: int, times: int) -> None:
    for _ in range(times):
        assert not patience.ended(position)
        patience.unanswered(position)


def test_patience_ends_with_several_silences_at_one_position() -> None:
    patience = Patience()
    unanswered(patience, 7, TIMES)
    assert patience.ended(7)
    assert not patience.ended(8)


def test_a_stream_that_gets_on_is_not_stuck() -> None:
    patience = Patience()
    for position in range(10):
        unanswered(patience, position, TIMES - 1)
        assert not patience.ended(position)


def test_a_stream_that_is_stuck_again_is_waited_for_longer_until_it_has_all() -> None:
    patience = Patience()
    unanswered(patience, 7, TIMES)
    patience.begin_again()
    unanswered(patience, 7, 2 * TIMES)
    assert patience.ended(7)
    for _ in range(10):
        patience.begin_again()
    unanswered(patience, 7, LONGEST_TIMES)
    assert patience.ended(7)
    patience.begin_again()
    patience.restore()
    unanswered(patience, 8, TIMES)
    assert patience.ended(8)
