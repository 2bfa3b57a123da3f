"""The logs of the parts on one screen, whatever becomes of their files."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orders_site.embedded import parts
from orders_site.embedded.parts import LogScreen
from tests.together import eventually


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "web.log"
    path.write_text("before this run\n")
    return path


@pytest.fixture
def shown(log: Path) -> Iterator[Callable[[], list[str]]]:
    output = io.StringIO()
    screen = LogScreen(output, {"web": log})
    screen.start()
    yield lambda: [line.removeprefix("web | ") for line in output.getvalue().splitlines()]
    screen.stop()


def write(log: Path, *lines: str) -> None:
    with log.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def rotate(log: Path) -> None:
    log.replace(log.with_suffix(".log.1"))


def test_what_is_written_is_shown_line_by_line(log: Path, shown) -> None:
    write(log, "one", "two")
    eventually(lambda: shown() == ["one", "two"])
    with log.open("a") as file:
        file.write("three, h")
        file.flush()
        write(log, "alf")
    eventually(lambda: shown() == ["one", "two", "three, half"])


@pytest.mark.parametrize("length", [1, len("before this run"), 5_000])
def test_a_log_that_is_rotated_within_an_instant_is_shown_to_its_end_and_from_its_start(
    log: Path, shown, length: int
) -> None:
    write(log, "one")
    eventually(lambda: shown() == ["one"])
    write(log, "last")
    rotate(log)
    write(log, "x" * length, "y")
    eventually(lambda: shown() == ["one", "last", "x" * length, "y"])
    write(log, "z")
    eventually(lambda: shown()[-1] == "z")


def test_a_log_that_is_gone_for_a_while_is_followed_again(log: Path, shown) -> None:
    write(log, "one")
    eventually(lambda: shown() == ["one"])
    rotate(log)
    write(log.with_suffix(".log.1"), "late", "later")
    eventually(lambda: shown() == ["one", "late", "later"])
    write(log, "anew")
    eventually(lambda: shown()[-1] == "anew")


def test_a_log_that_was_not_there_is_shown_from_its_start(tmp_path: Path) -> None:
    output, log = io.StringIO(), tmp_path / "new.log"
    screen = LogScreen(output, {"new": log})
    screen.start()
    write(log, "one")
    screen.stop()
    assert output.getvalue() == "new | one\n"


def test_a_log_that_is_emptied_is_shown_from_its_start(log: Path, shown) -> None:
    write(log, "one")
    eventually(lambda: shown() == ["one"])
    log.write_text("2\n")
    eventually(lambda: shown() == ["one", "2"])


def test_a_line_without_an_end_is_held_in_memory_up_to_a_bound(
    log: Path, shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "READ_BYTES", 10)
    with log.open("a") as file:
        file.write("x" * 95)
    eventually(lambda: "".join(shown()).count("x") >= 90)


def test_a_screen_that_nobody_reads_ends_by_itself(log: Path) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    screen = LogScreen(Gone(), {"web": log})
    screen.start()
    write(log, "one")
    screen.stop()
