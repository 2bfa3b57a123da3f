"""Tests on real servers."""

import pytest

pytest.register_assert_rewrite(
    "tests.integration.messaging",
    "tests.integration.desks",
    "tests.integration.tampering",
    "tests.integration.whole_system",
)
