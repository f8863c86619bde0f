"""Whether a model can be loaded within the container's limit is known before it is tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.errors import ConfigError
from agent.models import footprint
from agent.release import layout
from agent.release.model_ref import ModelRef
from tests.support import models

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024
MODEL = ModelRef("Org/name", "fastembed", "Org/name-onnx", "0" * 40)


def release(root: Path, size: int) -> Path:
    """A release whose model has so many bytes of graph; none of them takes room on disk."""
    snapshot = root / layout.snapshot_directory(MODEL)
    snapshot.mkdir(parents=True)
    with (snapshot / "model.onnx").open("wb") as file:
        file.truncate(size)
    (snapshot / "model.onnx.data").touch()
    return root


@pytest.mark.parametrize(
    ("limit", "fits"), [(None, True), (1749 * MIB, False), (1751 * MIB, True), (512 * MIB, False)]
)
def test_weights_inside_the_graph(limit: int | None, fits: bool, tmp_path: Path) -> None:
    """They are refused where 1.2 times their size and 250 MiB are more than the limit."""
    directory = release(tmp_path, 1250 * MIB)
    if fits:
        footprint.require([MODEL], directory, limit=limit)
        return
    with pytest.raises(ConfigError, match="Org/name has its weights inside the graph"):
        footprint.require([MODEL], directory, limit=limit)


def test_weights_beside_the_graph(tmp_path: Path) -> None:
    """Mapped weights are no reason: the kernel takes their pages back. What is left is said."""
    directory = release(tmp_path, MIB)
    limit = 512 * MIB
    footprint.require([MODEL], directory, limit=limit)
    limit = 200 * MIB
    with pytest.raises(ConfigError) as refused:
        footprint.require([MODEL], directory, limit=limit)
    assert str(refused.value) == (
        "Org/name: checking it takes about 251 MiB of memory, and the limit here is 200 MiB. "
        "Raise the container's memory limit."
    )


def test_half_precision(tmp_path: Path) -> None:
    """Weights in fp16 are widened when they are loaded, so that mapping them saves nothing."""
    snapshot = tmp_path / layout.snapshot_directory(MODEL)
    models.write_tiny(snapshot, weights="fp16")
    with (snapshot / "model.onnx.data").open("wb") as file:
        file.truncate(637 * MIB)
    needed = int(3.05 * 637) + 250
    limit = (needed + 5) * MIB
    footprint.require([MODEL], tmp_path, limit=limit)
    limit = (needed - 5) * MIB
    with pytest.raises(ConfigError, match="has its weights in fp16"):
        footprint.require([MODEL], tmp_path, limit=limit)


def test_half_precision_beside_a_graph_from_the_hub(tmp_path: Path) -> None:
    """The Hub calls external data `model.onnx_data`: it is widened as well."""
    snapshot = tmp_path / layout.snapshot_directory(MODEL)
    models.write_tiny(snapshot, weights="fp16")
    with (snapshot / "model.onnx_data").open("wb") as file:
        file.truncate(637 * MIB)
    with pytest.raises(ConfigError, match="has its weights in fp16"):
        footprint.require([MODEL], tmp_path, limit=2000 * MIB)


@pytest.mark.parametrize("suffix", ["onnx", "safetensors"])
def test_a_damaged_file(suffix: str, tmp_path: Path) -> None:
    """A check of it needs no more memory than any other: whoever loads it says what is wrong."""
    snapshot = tmp_path / layout.snapshot_directory(MODEL)
    snapshot.mkdir(parents=True)
    (snapshot / f"model.{suffix}").write_bytes(b"\xff" * 99)
    footprint.require([MODEL], tmp_path, limit=251 * MIB)
    with pytest.raises(ValueError, match="its "):
        footprint.is_half(snapshot)
