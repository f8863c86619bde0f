"""FastEmbed is given a release to read, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnxruntime as ort
import pytest

from agent.models.devices.device import CPU
from agent.models.runtimes.fastembed_model import open_stock
from tests.support import models
from tests.support.stores import a_model

if TYPE_CHECKING:
    from pathlib import Path


def test_a_release_that_was_deleted_is_not_made_again(tmp_path: Path) -> None:
    """FastEmbed makes its cache directory if it is missing: a release without files would stand."""
    release = tmp_path / "releases" / "v1"
    with pytest.raises(FileNotFoundError):
        open_stock(a_model(name=models.MINILM).ref, release, CPU, ort.SessionOptions())
    assert not release.exists()
