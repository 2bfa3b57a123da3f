"""The README's commands, run against a real system, answer what the README shows."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.system import ROOT, System, eventually

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
REFERENCE = re.compile(r"(ch|re)_[0-9a-f]{32}")
# What depends on everything else that happens in the system.
ANY_NUMBER = {"position", "events"}
MORE = "…"


@dataclass(frozen=True)
class Shown:
    """A command of the README and the answer that stands below it."""

    command: str
    status: str
    headers: dict[str, str]
    body: Any

    @property
    def may_be_repeated(self) -> bool:
        return " -d " not in self.command and "-X POST" not in self.command


@dataclass
class Reader:
    """Somebody who pastes the commands one after another, on a system with other ids."""

    system: System
    assignments: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def paste(self, shown: Shown) -> None:
        if not shown.command.startswith("curl "):
            self.assignments.append(self._here(shown.command))
        elif shown.may_be_repeated:
            eventually(lambda: not self._differences(shown), f"{shown.command}\n{shown.body}", 30)
        else:
            assert self._differences(shown) == []

    def _differences(self, shown: Shown) -> list[str]:
        script = "\n".join([*self.assignments, self._here(shown.command)])
        run = subprocess.run(
            ["bash", "-euc", script], capture_output=True, text=True, timeout=60, check=True
        )
        status, headers, body = _parsed(run.stdout)
        problems = list(self._compare(shown.body, json.loads(body), "body"))
        if shown.status and shown.status != status:
            problems.append(f"status: {status}")
        for name, value in shown.headers.items():
            problems += self._compare(value, headers.get(name), name)
        return problems

    def _here(self, command: str) -> str:
        """The command with this system's address, token and ids in it."""
        command = command.replace("http://127.0.0.1:8000", self.system.site)
        command = command.replace(".data/", f"{self.system.data_dir}/")
        return UUID.sub(lambda match: self.names.get(match[0], match[0]), command)

    def _compare(self, shown: Any, real: Any, where: str) -> Iterator[str]:
        """What differs, except ids, times and what `…` stands for."""
        if isinstance(shown, dict) and isinstance(real, dict):
            wanted = shown.keys() - {MORE}
            if (wanted != real.keys()) if MORE not in shown else not wanted < real.keys():
                yield f"{where}: has {', '.join(real)}"
            for name in wanted & real.keys() - ANY_NUMBER:
                yield from self._compare(shown[name], real[name], f"{where}.{name}")
        elif isinstance(shown, list) and isinstance(real, list) and len(shown) == len(real):
            for place, (one, other) in enumerate(zip(shown, real, strict=True)):
                yield from self._compare(one, other, f"{where}[{place}]")
        elif isinstance(shown, str) and isinstance(real, str):
            if self._general(shown) != self._general(real):
                yield f"{where}: {real}"
            for one, other in zip(UUID.finditer(shown), UUID.finditer(real), strict=False):
                if self.names.setdefault(one[0], other[0]) != other[0]:
                    yield f"{where}: {other[0]} is another id than before"
        elif shown != real:
            yield f"{where}: {real}"

    @staticmethod
    def _general(text: str) -> str:
        text = TIME.sub("<time>", UUID.sub("<uuid>", text))
        return REFERENCE.sub(r"\1_<reference>", text)


def _parsed(answer: str) -> tuple[str, dict[str, str], str]:
    """Status line, headers (both empty without -i) and body."""
    if not answer.startswith("HTTP/"):
        return "", {}, answer
    head, _, body = answer.replace("\r\n", "\n").partition("\n\n")
    status, *lines = head.splitlines()
    pairs = (line.partition(": ") for line in lines)
    return status, {name.lower(): value for name, _, value in pairs}, body


def readme_commands() -> list[Shown]:
    """The commands of all blocks that are marked to be run."""
    readme = (ROOT / "README.md").read_text()
    commands = []
    for block in re.findall(r"<!-- run -->\n```console\n(.+?)```", readme, re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            commands.append(_shown(part))
    return commands


def _shown(part: str) -> Shown:
    lines = part.rstrip().splitlines()
    # The command goes on while a quote is open or a line ends in a backslash.
    length = 1
    while "\n".join(lines[:length]).count("'") % 2 or lines[length - 1].endswith("\\"):
        length += 1
    status, headers, body = _parsed("\n".join(lines[length:]))
    body = re.sub(r",\s*…(\s*})", r', "…": ""\1', body)
    return Shown("\n".join(lines[:length]), status, headers, json.loads(body) if body else None)


@pytest.mark.skipif(shutil.which("curl") is None, reason="not run: curl is not installed")
def test_the_readme_shows_what_happens(system: System) -> None:
    commands = readme_commands()
    assert len(commands) > 10
    reader = Reader(system)
    for shown in commands:
        reader.paste(shown)


def test_the_first_screen_names_the_paths_that_there_are(system: System) -> None:
    for file in ("api-token", "admin-password"):
        assert (Path(system.data_dir) / file).stat().st_mode & 0o777 == 0o600
    with system.api() as client:
        assert client.get("/docs").status_code == 200
        assert client.get("/schema").status_code == 200
        assert client.get(f"{system.site}/readyz").json()["status"] == "ready"
