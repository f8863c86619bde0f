"""What passed its check here before: only what would pass again is taken for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec.structs import replace

from agent.warmup import passes

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "d" * 64
MODEL = {
    "name": "a",
    "loader": "fastembed",
    "precision": "fp32",
    "device": "cpu",
    "canary_cosine": 1.0,
}
NOT_RUN = MODEL | {"loader": "sentence-transformers", "device": None, "canary_cosine": None}
HERE = passes.ground()
assert HERE


def write(agent: Path, **changes: Any) -> None:
    """Write what a warm-up that passed leaves, on this machine."""
    report = {"digest": DIGEST, "ground": HERE, "models": [MODEL], **changes}
    (agent / passes.REPORT).write_bytes(msgspec.json.encode(report))


def test_what_passed_here(tmp_path: Path) -> None:
    """Each model counts by its name and its loader."""
    other = MODEL | {"loader": "sentence-transformers"}
    write(tmp_path, models=[MODEL, other])
    found = passes.on_cpu(tmp_path, DIGEST)
    assert found == {("a", "fastembed"), ("a", "sentence-transformers")}


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": "e" * 64},
        {"ground": replace(HERE, boot="another")},
        {"ground": replace(HERE, processor="another")},
        {"ground": replace(HERE, libraries={"onnxruntime": "1.0"})},
        {"ground": None},
        {"models": [MODEL | {"device": "cuda"}]},
    ],
    ids=["other bytes", "other boot", "other processor", "other library", "no ground", "GPU"],
)
def test_what_proves_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Another release, machine, library or device."""
    write(tmp_path, **changes)
    assert passes.on_cpu(tmp_path, DIGEST) == passes.held(tmp_path, DIGEST) == frozenset()


@pytest.mark.parametrize(
    "model",
    [MODEL | {"canary_cosine": None}, MODEL | {"precision": "int8"}, NOT_RUN],
    ids=["no canary", "int8", "not run"],
)
def test_what_a_warm_up_would_only_repeat(tmp_path: Path, model: dict[str, Any]) -> None:
    """It says nothing of another session, and yet the same warm-up would see the same again."""
    write(tmp_path, models=[model])
    assert passes.on_cpu(tmp_path, DIGEST) == frozenset()
    assert passes.held(tmp_path, DIGEST) == {("a", model["loader"])}


def test_what_is_forgotten(tmp_path: Path) -> None:
    """Also twice, and where there never was anything."""
    write(tmp_path)
    for directory in (tmp_path, tmp_path, tmp_path / "none"):
        passes.forget(directory)
    assert passes.held(tmp_path, DIGEST) == frozenset()


@pytest.mark.parametrize("data", [None, b"", b"{", b"[]", b'{"digest": 1}', b"\xff" * 9])
def test_a_report_that_cannot_be_read(tmp_path: Path, data: bytes | None) -> None:
    """Then nothing has passed."""
    if data is not None:
        (tmp_path / passes.REPORT).write_bytes(data)
    assert passes.on_cpu(tmp_path, DIGEST) == frozenset()
