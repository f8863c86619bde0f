"""Releases that are made: of a tree that somebody laid out by hand, or of the Hub's models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from agent.errors import ModelError, ReleaseMissingError, UnreachableError
from agent.machine import threads
from agent.sync import events
from agent.sync.record import load
from tests.support.parts import Parts, by_hand
from tests.support.workers import until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """The parts of an agent."""
    return Parts(tmp_path)


def test_a_tree_made_by_hand(parts: Parts) -> None:
    """It becomes a release of its own; its models are loaded, so the attempt is on record."""
    by_hand(parts.share, suffix="-v7")
    making = threads.start(parts.steps().stage, "v7", desired="v7")
    assert until(lambda: load(parts.store.agent).attempts) == {"v7": 1}
    assert making.result(60) == parts.store.manifest("v7")
    assert parts.heard.only(events.Staged).origin == "adopted"
    assert load(parts.store.agent).attempts == {}


def test_a_tree_that_does_not_load(parts: Parts) -> None:
    """The attempt came to an end, and is on record no more."""
    (by_hand(parts.share, suffix="-v7") / "sentence_bert_config.json").write_text("[]")
    with pytest.raises(ModelError, match="does not load"):
        parts.steps().stage("v7", desired="v7")
    assert load(parts.store.agent).attempts == {}
    assert parts.heard.events == []


def test_a_release_that_the_share_lacks(parts: Parts) -> None:
    """It is missing, also for who would have it made, unless it is the catalog's own."""
    for version, populate in (("v1", True), ("catalogued", False), ("catalogued", True)):
        with pytest.raises(ReleaseMissingError, match=f"{version} is missing"):
            parts.steps().stage(version, desired=version, populate=populate)


def test_a_release_that_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is said, and on record while it lasts; here nobody lets it ask the Hub."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    parts = Parts(tmp_path, populate="store")
    with capture_logs() as said, pytest.raises(UnreachableError, match="HF_HUB_OFFLINE"):
        parts.steps().stage("catalogued", desired=None, populate=True)
    (line,) = said
    assert (line["event"], line["log_level"]) == ("release.missing", "warning")
    assert line["version"] == "catalogued"
    assert "The release catalogued is missing" in line["reason"]
    assert load(parts.store.agent).attempts == {}
