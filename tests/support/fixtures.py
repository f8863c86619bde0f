"""Model directories, each built once a session and only if a test asks for it.

They are shared: a test that wants to change one copies it (`as_hub_cache` does).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def minilm_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real MiniLM for FastEmbed, with its weights inside `model.onnx`."""
    from tests.support.models import write_minilm_onnx

    directory = tmp_path_factory.mktemp("minilm")
    write_minilm_onnx(directory)
    return directory


@pytest.fixture(scope="session")
def minilm_external_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real MiniLM for FastEmbed, with its weights in `model.onnx.data`."""
    from tests.support.models import write_minilm_onnx

    directory = tmp_path_factory.mktemp("minilm-external")
    write_minilm_onnx(directory, weights="external")
    return directory


@pytest.fixture(scope="session")
def minilm_fp16_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real MiniLM for FastEmbed, with float16 weights: other bytes, the same space."""
    from tests.support.models import write_minilm_onnx

    directory = tmp_path_factory.mktemp("minilm-fp16")
    write_minilm_onnx(directory, weights="fp16")
    return directory


@pytest.fixture(scope="session")
def minilm_safetensors_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real MiniLM for sentence-transformers."""
    from tests.support.models import write_minilm_safetensors

    directory = tmp_path_factory.mktemp("minilm-safetensors")
    write_minilm_safetensors(directory)
    return directory


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT of seed 0, under 300 KB."""
    from tests.support.models import write_tiny

    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory)
    return directory
