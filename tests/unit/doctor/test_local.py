"""The doctor's look at the store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from agent import logs, settings
from agent.context import Context
from agent.doctor import local
from agent.doctor.case import Case
from agent.errors import ConfigError
from agent.release import marker
from agent.store import room
from agent.sync.locate import HandMadeTree
from tests.support.parts import Parts
from tests.unit.doctor.cases import case_of, seen

if TYPE_CHECKING:
    from pathlib import Path

V2 = marker.parse(b"v2\n")


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """An agent with v1 active in its store, and v2 on the share: a MiB and a half of new bytes."""
    made = Parts(tmp_path)
    made.hold("v1", active="v1")
    made.publish("v2", model__onnx=os.urandom(3 * 512 * 1024))
    return made


def test_a_machine_without_a_store(tmp_path: Path) -> None:
    """Where only the share is looked at, a store that is not there is no failure."""
    context = Context(settings.parse({"share": str(tmp_path)}, {}), logs.get())
    if os.path.lexists(context.settings.store):
        pytest.skip("this machine has a store")
    assert [level for level, _ in seen(local.store, Case(context, {}))] == ["skip"]
    with pytest.raises(ConfigError, match="is not a directory"):
        seen(local.store, Case(context, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}))


def test_an_empty_store(tmp_path: Path) -> None:
    """Nothing is active in it, which `init` changes."""
    case = case_of(tmp_path)
    (level, sentence), free = seen(local.store, case)
    assert (level, sentence) == ("warn", f"Nothing is active in {case.store.root}.")
    assert free[1].endswith("are free.")


@pytest.mark.parametrize(
    ("named", "level", "sentence"),
    [
        (None, "ok", "v1 is active in "),
        (marker.parse(b"v1\n"), "ok", "v1 is active in "),
        (V2, "warn", "v1 is active, and the marker names v2."),
    ],
)
def test_the_active_release(
    named: marker.Marker | None, level: str, sentence: str, parts: Parts, tmp_path: Path
) -> None:
    """It should be the marker's, where that is known."""
    case = case_of(tmp_path)
    case.marker = named
    found = seen(local.store, case)[0]
    assert found[0] == level
    assert found[1].startswith(sentence)


def test_a_release_that_was_refused(parts: Parts, tmp_path: Path) -> None:
    """The reason is said while the marker is the same, and no longer."""
    parts.record.quarantine("v2", "It does not load.", marker=V2, digest=None)
    case = case_of(tmp_path)
    case.marker = V2
    refused = [each for each in local.store(case) if "was refused at" in each.seen]
    assert [(each.level, each.seen.rpartition(": ")[2]) for each in refused] == [
        ("warn", "It does not load.")
    ]
    assert "under a new version" in refused[0].remedy
    case.marker = marker.parse(b"v2\n# promoted again\n")
    assert not [each for each in local.store(case) if "was refused at" in each.seen]


def test_room_for_the_release(parts: Parts, tmp_path: Path) -> None:
    """The bytes that it needs are held to what is free, or can be: the active release stays."""
    case = case_of(tmp_path)
    case.marker, case.served = V2, parts.share.manifest("v2")
    assert "and what the marker names needs 2.5 MiB." in seen(local.store, case)[-1][1]
    limit = str(room.used_bytes(parts.store) + 2 * 1024 * 1024)
    small = case_of(tmp_path, store_limit=limit)
    small.marker, small.served = case.marker, case.served
    (*_, found) = local.store(small)
    assert (found.level, found.exit_code) == ("fail", 6)
    small.served = parts.share.manifest("v1")
    assert "is here already" in seen(local.store, small)[-1][1]


def test_room_for_a_tree(parts: Parts, tmp_path: Path) -> None:
    """Of a hand-made tree all bytes are new, as far as its size is known."""
    case = case_of(tmp_path)
    case.served = HandMadeTree("")
    assert seen(local.store, case)[-1][1].endswith("are free.")
    case.total = 1024 * 1024
    assert seen(local.store, case)[-1][1].endswith("needs 2.0 MiB.")
