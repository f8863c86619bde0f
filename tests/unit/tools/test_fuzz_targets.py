"""What `make fuzz` runs on many inputs, on a few; and that it would see a parser go wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.release import catalog, manifest, marker
from tests.fuzz import __main__ as fuzzing
from tests.fuzz import edits
from tests.fuzz.targets import TARGETS
from tests.support.manifests import FULL

if TYPE_CHECKING:
    from types import ModuleType

PARSERS = [(manifest, "manifest"), (manifest, "manifest-values"), (marker, "marker")]


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_sound(name: str) -> None:
    """Fuzzing begins with what a parser takes, so that it gets past the first rule."""
    target = TARGETS[name]
    assert target.seeds()
    for seed in target.seeds():
        target.check(seed)


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary(max_size=200))
@settings(max_examples=30)
def test_any_bytes_are_checked(name: str, data: bytes) -> None:
    """No bytes are beyond what a target can judge."""
    TARGETS[name].check(data)


@pytest.mark.parametrize(("parser", "name"), [*PARSERS, (catalog, "catalog")])
def test_an_error_that_is_not_documented_is_seen(
    parser: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not taken for a refusal."""

    def broken(*_: object, **__: object) -> None:
        raise KeyError

    monkeypatch.setattr(parser, "parse", broken)
    with pytest.raises(KeyError):
        TARGETS[name].check(TARGETS[name].seeds()[0])


def test_every_target_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer seconds than targets are one for each: libFuzzer takes none for no limit."""
    given_seconds: list[int] = []

    def fuzz(_name: str, _target: object, seconds: int) -> bool:
        given_seconds.append(seconds)
        return False

    monkeypatch.setattr(fuzzing, "fuzz", fuzz)
    assert fuzzing.main(["1"]) == 0
    assert given_seconds == [1] * len(TARGETS)


@given(st.binary(max_size=40))
def test_changes_leave_json(data: bytes) -> None:
    """What is changed in a manifest stays JSON, and the sound one stays as it is."""
    assert isinstance(json.loads(edits.made(data)), dict)
    assert manifest.parse(edits.encoded(FULL)).version == "v2"
