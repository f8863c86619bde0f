"""What passed its check here before: only what would pass again is taken for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from agent import passed

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "d" * 64
MODEL = {"name": "a", "loader": "fastembed", "device": "cpu", "canary_cosine": 1.0}


def report(**changes: Any) -> dict[str, Any]:
    """What a warm-up that passed leaves, on this machine."""
    here = msgspec.to_builtins(passed.ground())
    return {"digest": DIGEST, "ground": here, "models": [MODEL], **changes}


def test_what_passed_here(tmp_path: Path) -> None:
    """Each model counts by its name and its loader."""
    other = MODEL | {"loader": "sentence-transformers"}
    (tmp_path / passed.REPORT).write_text(json.dumps(report(models=[MODEL, other])))
    found = passed.on_cpu(tmp_path, DIGEST)
    assert found == {("a", "fastembed"), ("a", "sentence-transformers")}


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": "e" * 64},
        {"ground": {"boot": "another", "libraries": passed.ground().libraries}},
        {"ground": {"boot": passed.ground().boot, "libraries": {"onnxruntime": "1.0"}}},
        {"ground": None},
        {"models": [MODEL | {"device": "cuda"}]},
        {"models": [MODEL | {"canary_cosine": None}]},
        {"models": [{"name": "a", "loader": "fastembed", "not_run": "no library"}]},
    ],
    ids=["other bytes", "other boot", "other library", "no ground", "GPU", "no canary", "not run"],
)
def test_what_proves_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Another release, machine, library or device, or a model that was not held to a canary."""
    (tmp_path / passed.REPORT).write_text(json.dumps(report(**changes)))
    assert passed.on_cpu(tmp_path, DIGEST) == frozenset()


@pytest.mark.parametrize("data", [None, b"", b"{", b"[]", b'{"digest": 1}', b"\xff" * 9])
def test_a_report_that_cannot_be_read(tmp_path: Path, data: bytes | None) -> None:
    """Then nothing has passed."""
    if data is not None:
        (tmp_path / passed.REPORT).write_bytes(data)
    assert passed.on_cpu(tmp_path, DIGEST) == frozenset()
