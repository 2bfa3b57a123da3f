"""The documentation says what the code does: settings, events, commands, links."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PACKAGES = ("eventstore", "orders_site", "payments", "queries", "restaurant")
SAMPLES = sorted((ROOT / "tests" / "contract" / "samples").glob("*/*.json"))
# Every variable that the settings ask for, with its default, as a machine without any sees it.
ASK = """
import json
from orders_site.environment import PREFIX, Environment
defaults = {}
original = Environment.get_value
def get_value(self, var, cast=None, default=None, **options):
    defaults[PREFIX + var] = default
    return original(self, var, cast=cast, default=default, **options)
Environment.get_value = get_value
from orders_site.settings import ENVIRONMENT
assert ENVIRONMENT.known == set(defaults)
print(json.dumps(defaults))
"""


@pytest.fixture(scope="module")
def defaults(tmp_path_factory) -> dict[str, object]:
    """The settings' variables and their defaults."""
    empty = tmp_path_factory.mktemp("no-data")
    clean = {name: text for name, text in os.environ.items() if not name.startswith("ORDERS_")}
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        env=clean | {"ORDERS_DATA_DIR": str(empty)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(asked.stdout))


def documented_settings() -> dict[str, str]:
    """Variable -> the cell of its default."""
    rows = re.findall(r"^\| `(ORDERS_\w+)` \| (.+?) \|", (DOCS / "settings.md").read_text(), re.M)
    assert len(rows) == len(dict(rows)), "a variable has two rows"
    return dict(rows)


def test_every_setting_is_documented_and_no_other(defaults) -> None:
    assert set(documented_settings()) == set(defaults)


def test_documented_defaults_are_the_real_ones(defaults) -> None:
    cells = documented_settings()
    literal = {name: cell.strip("`") for name, cell in cells.items() if cell.startswith("`")}
    assert len(literal) > 20
    assert literal == {name: _words(defaults[name]) for name in literal}


def test_every_setting_named_anywhere_exists(defaults) -> None:
    text = "\n".join(page.read_text() for page in [ROOT / "README.md", *DOCS.rglob("*.md")])
    named = set(re.findall(r"\bORDERS_[A-Z_]*[A-Z]\b", text))
    assert named <= set(defaults)
    table = re.search(r"^\| Process \|.*?\n\n", (ROOT / "README.md").read_text(), re.M | re.S)
    assert table is not None
    needs = {name for row in _rows(table[0]) for name in re.findall(r"`([A-Z_]{4,})`", row)}
    assert {"NATS_URL", "GATEWAY_API_KEY"} <= needs
    assert {f"ORDERS_{name}" for name in needs} <= set(defaults)


def test_what_production_requires_is_documented() -> None:
    from orders_site.checks import REQUIRED_IN_PRODUCTION

    section = _sections(DOCS / "settings.md")["Required in production"]
    urls = {name for name in REQUIRED_IN_PRODUCTION if name.endswith("DATABASE_URL")}
    assert len(urls) == 5
    assert "the five database URLs" in section
    expected = {f"ORDERS_{name}" for name in set(REQUIRED_IN_PRODUCTION) - urls}
    assert set(re.findall(r"`(ORDERS_\w+)`", section)) == expected


def test_every_event_type_is_documented_and_no_other() -> None:
    types = {_sample(path)["event_type"] for path in SAMPLES}
    from queries.messages import READERS

    assert types == set(READERS), "a type has no sample"
    assert {name for name in _sections(DOCS / "events.md") if name.startswith("order-")} == types


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_field_of_an_event_is_documented(path: Path) -> None:
    sample = _sample(path)
    section = _sections(DOCS / "events.md")[sample["event_type"]]
    documented = set(re.findall(r"^\| `(\w+)` \|", section, re.M))
    assert documented == set(sample["data"])
    assert path.parent.name in section.splitlines()[0].lower(), "its owner is not named"
    keys = re.findall(r"^\| `(\w+)` \|", _sections(DOCS / "events.md")["Metadata"], re.M)
    assert set(sample["metadata"]) <= set(keys)


def test_every_metric_is_documented_and_no_other() -> None:
    from prometheus_client import REGISTRY

    import orders_site.celery
    from eventstore import metrics
    from eventstore.client import metrics as subscriptions
    from eventstore.publishing.feed import StreamStatus
    from orders_site.console.parts import Answer
    from orders_site.console.questions import CONTEXTS
    from orders_site.metrics import State

    assert all((orders_site.celery.TASKS, subscriptions.EVENTS))
    published = metrics.Published(lambda: [StreamStatus("ORDERS", "", 0, 0)])
    whole = State(dict.fromkeys([*CONTEXTS, "event store"], Answer()))
    families = [*REGISTRY.collect(), *published.collect(), *whole.collect()]
    real = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in families
        if family.name.startswith("orders_")
    }
    rows = _rows(_sections(DOCS / "operations.md")["Metrics"])
    first_cells = [row.split("|")[1] for row in rows]
    assert {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)} == real


def test_every_reaction_is_documented_and_no_other() -> None:
    from orders_site.ordering import handlers as ordering
    from payments import handlers as payments
    from restaurant import handlers as restaurant

    tables = {
        "ordering": ordering.REACTIONS,
        "payments": payments.REACTIONS,
        "restaurant": restaurant.REACTIONS,
    }
    real = {
        (event_type, context, reaction.__name__)
        for context, table in tables.items()
        for event_type, reaction in table.items()
    }
    documented = {
        (event_type, context, reaction)
        for event_type, section in _sections(DOCS / "events.md").items()
        for context, reaction in re.findall(r"^- (\w+) `(\w+)`:", section, re.M)
    }
    assert documented == real


def test_every_management_command_is_documented() -> None:
    commands = {
        path.stem
        for package in PACKAGES
        for path in (ROOT / package).rglob("management/commands/*.py")
        if not path.stem.startswith("_")
    }
    assert len(commands) > 10
    operations = (DOCS / "operations.md").read_text()
    table = {
        name
        for row in _rows(operations)
        for name in re.findall(r"`(?:manage\.py )?([a-z_]+)[^`]*`", row.split("|")[1])
    }
    assert commands <= table
    text = "\n".join(page.read_text() for page in [ROOT / "README.md", *DOCS.rglob("*.md")])
    from_django = {"check", "dbshell", "migrate", "shell"}
    assert set(re.findall(r"manage\.py ([a-z_]+)", text)) <= commands | from_django


def test_the_sandbox_amounts_are_documented_and_no_other() -> None:
    from payments.gateways.sandbox.faults import CASES

    section = _sections(DOCS / "operations.md")["Sandbox gateway"]
    amounts = [
        int(text.replace(".", "")) for text in re.findall(r"^\| (\d+\.\d\d) ", section, re.M)
    ]
    assert amounts == [case.amount for case in CASES]


def test_the_documented_hash_is_the_real_one() -> None:
    from datetime import UTC, datetime
    from uuid import UUID

    from eventstore.client.hashing import event_hash, microseconds

    (code,) = re.findall(r"```python\n(.+?)```", (DOCS / "guarantees.md").read_text(), re.S)
    namespace: dict = {}
    exec(code, namespace)  # our own documentation
    recorded_at = datetime(2026, 2, 3, 4, 5, 6, 789_012, tzinfo=UTC)
    texts: dict[str, Any] = {
        "stream": "ORDERS",
        "event_type": "order-created",
        "aggregate_type": "order",
        "aggregate_id": "ü-1",
        "data": '{"name":"Šárka"}',
        "metadata": "{}",
    }
    rest: dict[str, Any] = {"event_id": UUID(int=2**100 + 7), "position": 3, "version": 2}
    assert namespace["event_hash"](
        b"\x07" * 32, **texts, **rest, recorded_at_us=microseconds(recorded_at)
    ) == event_hash(b"\x07" * 32, **texts, **rest, recorded_at=recorded_at)


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))],
    ids=lambda page: page.name,
)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            anchors = {
                re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in _sections(target)
            }
            assert anchor in anchors, f"{page.name}: {link}"


def test_every_page_is_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    missing = [page.name for page in DOCS.glob("*.md") if f"docs/{page.name}" not in readme]
    assert missing == []


@pytest.mark.parametrize(
    "page", sorted((DOCS / "decisions").glob("*.md")), ids=lambda page: page.stem
)
def test_a_decision_is_short_and_has_context_decision_and_price(page: Path) -> None:
    text = page.read_text()
    assert 10 <= len(text.splitlines()) <= 30
    parts = [text.index(f"**{part}.**") for part in ("Context", "Decision", "Price")]
    assert parts == sorted(parts)
    number = int(page.name.partition("-")[0])
    assert text.startswith(f"# {number}. ")


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(page.name.partition("-")[0]) for page in (DOCS / "decisions").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 12


def test_code_names_only_pages_that_exist() -> None:
    named = {
        name
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for name in re.findall(r"docs/[\w/-]+\.md|docs/decisions/\d{4}", path.read_text())
    }
    assert "docs/settings.md" in named
    assert [name for name in named if not list(ROOT.glob(f"{name}*"))] == []


def _words(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


@cache
def _sections(page: Path) -> dict[str, str]:
    """Heading -> the text below it, up to the next heading."""
    parts = re.split(r"^#+ (.+)\n+", page.read_text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| ")]


def _sample(path: Path) -> dict:
    return dict(json.loads(path.read_text()))
