"""What a release may be called."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.release.version import UNVERSIONED, is_version
from tests.support import strategies

ALNUM = string.ascii_letters + string.digits


@pytest.mark.parametrize(
    "text",
    ["v2", "2026-11-23", "1", "V1.2_rc-3", "a..b", "a-", "a_", "x" * 63, UNVERSIONED],
)
def test_names_that_operators_use_are_versions(text: str) -> None:
    """Dates, tags and plain words name releases."""
    assert is_version(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("x" * 64, id="over-63-characters"),
        pytest.param(".", id="dot"),
        pytest.param("..", id="dot-dot"),
        pytest.param(".hidden", id="hidden"),
        pytest.param("-v2", id="looks-like-a-flag"),
        pytest.param("_v2", id="leading-underscore"),
        pytest.param("v2.", id="trailing-dot"),
        pytest.param("v2\n", id="trailing-newline"),
        pytest.param("v 2", id="blank"),
        pytest.param("a/b", id="slash"),
        pytest.param("a\\b", id="backslash"),
        pytest.param("c:", id="drive"),
        pytest.param("v2\x00", id="nul"),
        pytest.param("vé", id="not-ascii"),
        pytest.param("v٢", id="a-digit-of-another-script"),
        pytest.param("\ufeffv2", id="byte-order-mark"),
    ],
)
def test_what_is_unsafe_in_a_path_is_no_version(text: str) -> None:
    """A version is safe as one component of a path."""
    assert not is_version(text)


def test_a_tree_without_a_version_has_a_documented_name() -> None:
    """Operators find what was adopted without a marker under this name."""
    assert UNVERSIONED == "unversioned"


@given(strategies.versions())
def test_every_version_of_the_rule_is_one(text: str) -> None:
    """The rule of the design document is the whole rule."""
    assert is_version(text)


@given(st.text(ALNUM + "._-/\\ \n\x00é", max_size=70))
@example("v1\r")
def test_a_version_keeps_every_clause_of_the_rule(text: str) -> None:
    """Nothing passes that breaks a clause of the rule."""
    if is_version(text):
        assert 1 <= len(text) <= 63
        assert text[0] in ALNUM
        assert set(text) <= set(ALNUM + "._-")
        assert not text.endswith(".")
