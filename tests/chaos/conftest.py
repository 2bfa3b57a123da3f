"""Checkers outside of test modules say what differs, as asserts in tests do."""

import pytest

pytest.register_assert_rewrite("tests.chaos.judging", "tests.e2e.invariants")
