"""The models that other tests stand on: stock FastEmbed reads them, and they say what they should.

Expected numbers: qdrant/fastembed's own tests for "hello world", and the cosines that
sentence-transformers gives for all-MiniLM-L6-v2.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fastembed import TextEmbedding

from tests.support import models

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

REVISION = "0123456789abcdef0123456789abcdef01234567"
HELLO_WORLD = [-0.034478, 0.03102, 0.00673, 0.02611, -0.039362]
EATING = "A man is eating food."
MEAL = "Someone eats a meal."
SKY = "The sky is blue."
TEXTS = [EATING, MEAL, SKY, "hello world", "naïve café, 42 % off — 東京", ""]
KINDS: tuple[models.Weights, ...] = ("inline", "external", "fp16")


def embed(
    cache: Path, source: Path, texts: list[str], name: str = models.MINILM
) -> NDArray[np.float32]:
    """The vectors of stock FastEmbed, offline, for a model whose files stand in `source`."""
    repo = {models.MINILM: models.MINILM_REPO, models.BGE_LARGE: models.BGE_LARGE_REPO}[name]
    models.as_hub_cache(cache, repo, REVISION, source)
    model = TextEmbedding(name, cache_dir=str(cache), local_files_only=True, threads=2)
    return np.stack(list(model.embed(texts)))


def cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[Any]:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.asarray((one * other).sum(axis=1) / lengths)


def digests(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def minilm_vectors(
    minilm_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> NDArray[np.float32]:
    """What the MiniLM with its weights inside says to `TEXTS`."""
    return embed(tmp_path_factory.mktemp("cache"), minilm_dir, TEXTS)


def test_minilm_gives_the_published_vector(minilm_vectors: NDArray[np.float32]) -> None:
    """The MiniLM's "hello world" starts with the five numbers that FastEmbed's tests publish."""
    hello = minilm_vectors[TEXTS.index("hello world")]
    assert hello.shape == (384,)
    np.testing.assert_allclose(hello[:5], HELLO_WORLD, rtol=0, atol=1e-3)


def test_minilm_knows_what_means_the_same(minilm_vectors: NDArray[np.float32]) -> None:
    """Two sentences about a meal are near each other, and one about the sky is far."""
    eating, meal, sky = minilm_vectors[:3]
    assert eating @ meal == pytest.approx(0.761, abs=1e-3)
    assert eating @ sky == pytest.approx(0.0005, abs=1e-3)


def test_a_batch_gives_what_single_texts_give(tmp_path: Path, minilm_dir: Path) -> None:
    """Padding changes no vector: a short text beside a long one is embedded as if alone."""
    short, long = "hello world", "a long sentence goes on and on " * 8
    together = embed(tmp_path / "together", minilm_dir, [short, long])
    alone = embed(tmp_path / "alone", minilm_dir, [short])
    np.testing.assert_allclose(together[0], alone[0], rtol=0, atol=1e-5)


def test_external_weights_give_the_same_vectors(
    tmp_path: Path, minilm_external_dir: Path, minilm_vectors: NDArray[np.float32]
) -> None:
    """The MiniLM with its weights in `model.onnx.data` agrees with the one that holds them."""
    assert (minilm_external_dir / "model.onnx").stat().st_size < 100_000
    assert (minilm_external_dir / "model.onnx.data").stat().st_size > 90_000_000
    vectors = embed(tmp_path, minilm_external_dir, TEXTS)
    assert cosines(vectors, minilm_vectors).min() >= 0.999999


def test_half_precision_stays_in_the_embedding_space(
    tmp_path: Path, minilm_fp16_dir: Path, minilm_vectors: NDArray[np.float32]
) -> None:
    """The MiniLM with float16 weights is half the size and agrees to a cosine of 0.999."""
    assert (minilm_fp16_dir / "model.onnx").stat().st_size < 46_000_000
    vectors = embed(tmp_path, minilm_fp16_dir, TEXTS)
    assert vectors.dtype == np.float32
    assert cosines(vectors, minilm_vectors).min() >= 0.999
    assert not np.array_equal(vectors, minilm_vectors)


def test_minilm_safetensors_are_the_hubs(minilm_safetensors_dir: Path) -> None:
    """The sentence-transformers form carries the Hub's own weights, and each module's config."""
    held = digests(minilm_safetensors_dir)
    assert held["model.safetensors"] == models.MINILM_SHA256
    modules = json.loads((minilm_safetensors_dir / "modules.json").read_text())
    assert [module["path"] for module in modules] == ["", "1_Pooling", "2_Normalize"]
    assert {"1_Pooling/config.json", "config.json", "tokenizer.json"} <= held.keys()


@pytest.mark.parametrize("name", [models.MINILM, models.BGE_LARGE])
def test_tiny_loads_under_either_name(name: str, tmp_path: Path, tiny_dir: Path) -> None:
    """The tiny model is small, loads as either model, and tells texts apart."""
    assert sum(path.stat().st_size for path in tiny_dir.iterdir()) < 300_000
    vectors = embed(tmp_path, tiny_dir, TEXTS, name)
    assert vectors.shape == (len(TEXTS), 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    assert np.triu(vectors @ vectors.T, k=1).max() < 0.95


@pytest.mark.parametrize("weights", ["external", "fp16"])
def test_every_tiny_of_a_seed_is_in_one_space(
    weights: models.Weights, tmp_path: Path, tiny_dir: Path
) -> None:
    """However the weights are stored, a seed's tiny model gives the same vectors."""
    models.write_tiny(tmp_path / "other", weights=weights)
    other = embed(tmp_path / "a", tmp_path / "other", TEXTS)
    assert cosines(other, embed(tmp_path / "b", tiny_dir, TEXTS)).min() >= 0.999


def test_another_seed_is_another_space(tmp_path: Path, tiny_dir: Path) -> None:
    """Tiny models of two seeds share a tokenizer and nothing else."""
    models.write_tiny(tmp_path / "other", seed=1)
    one, other = digests(tiny_dir), digests(tmp_path / "other")
    assert {name for name in one if one[name] != other[name]} == {"model.onnx"}
    vectors = embed(tmp_path / "a", tmp_path / "other", TEXTS)
    assert np.abs(cosines(vectors, embed(tmp_path / "b", tiny_dir, TEXTS))).max() < 0.5


def test_tiny_takes_another_dimension(tmp_path: Path) -> None:
    """A tiny model can be as wide as a test asks."""
    models.write_tiny(tmp_path / "wide", hidden=48)
    assert embed(tmp_path / "cache", tmp_path / "wide", TEXTS).shape == (len(TEXTS), 48)


@pytest.mark.parametrize("weights", KINDS)
def test_tiny_is_deterministic(weights: models.Weights, tmp_path: Path) -> None:
    """The same call writes the same bytes, in a fresh directory and over an old one."""
    for name in ("one", "two", "two"):
        models.write_tiny(tmp_path / name, weights=weights)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


@pytest.mark.parametrize(
    ("fixture", "write"),
    [
        ("minilm_dir", models.write_minilm_onnx),
        ("minilm_safetensors_dir", models.write_minilm_safetensors),
    ],
)
def test_minilm_is_deterministic(
    fixture: str, write: Callable[[Path], None], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The same call writes the same bytes of the real model."""
    write(tmp_path)
    assert digests(tmp_path) == digests(request.getfixturevalue(fixture))


def test_hub_cache_holds_plain_files(tmp_path: Path, tiny_dir: Path) -> None:
    """A Hub cache has a ref and a snapshot of plain copies; a newer one moves the ref."""
    first = models.as_hub_cache(tmp_path, "Org/name", "a" * 40, tiny_dir)
    second = models.as_hub_cache(tmp_path, "Org/name", "b" * 40, tiny_dir)
    root = tmp_path / "models--Org--name"
    assert (root / "refs" / "main").read_text() == "b" * 40
    assert first == root / "snapshots" / ("a" * 40)
    assert digests(first) == digests(second) == digests(tiny_dir)
    assert not any(path.is_symlink() for path in root.rglob("*"))
    assert (first / "model.onnx").stat().st_nlink == 1
