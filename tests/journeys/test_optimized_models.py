"""A model whose weights were moved out says what it said before, and loads for less."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
import pytest
from fastembed import TextEmbedding

from agent.models.formats import whole
from agent.models.formats.external_data import externalize
from tests.support import models

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

pytestmark = pytest.mark.slow

MIB: Final = 1024 * 1024
LIMIT_BYTES: Final = 100 * MIB
REVISION: Final = "0123456789abcdef0123456789abcdef01234567"
TEXTS: Final = ["A man is eating food.", "naïve café, 42 % off — 東京", "", "on and on " * 90]

# Every child prints, as JSON, what it found, the seconds of its work and its peak of resident
# memory in bytes: the kernel's mark for the process alone, which `ru_maxrss` is not after a fork.
CHILD: Final = """
import hashlib, json, sys, time
from pathlib import Path
def done(seconds, **found):
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    print(json.dumps({"seconds": seconds, "peak": peak} | found))
"""
REWRITE: Final = """
from agent.models.formats.external_data import externalize
start = time.perf_counter()
written = externalize(Path(sys.argv[1]), Path(sys.argv[2]))
done(time.perf_counter() - start, written=written)
"""
# As `agent.embedder` makes it, so that all weights that are mapped stay so.
BARE: Final = """
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.disable_prepacking", "1")
start = time.perf_counter()
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
seconds = time.perf_counter() - start
maps = Path("/proc/self/maps").read_text().count("/model.onnx.data")
ids = np.array([[101, 7592, 2088, 102]])
inputs = {"input_ids": ids, "attention_mask": ids > 0, "token_type_ids": ids * 0}
vectors = session.run(None, {name: each.astype(np.int64) for name, each in inputs.items()})[0]
done(seconds, maps=maps, digest=hashlib.sha256(vectors.tobytes()).hexdigest())
"""
STOCK: Final = """
from fastembed import TextEmbedding
start = time.perf_counter()
model = TextEmbedding(sys.argv[2], cache_dir=sys.argv[1], local_files_only=True, threads=2)
seconds = time.perf_counter() - start
vector = next(iter(model.embed(["hello world"])))
done(seconds, digest=hashlib.sha256(vector.tobytes()).hexdigest())
"""


def child(code: str, *args: Path | str) -> dict[str, Any]:
    """What the child prints."""
    command = [sys.executable, "-c", CHILD + code, *map(str, args)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def snapshots(cache: Path, source: Path, name: str = models.MINILM) -> tuple[Path, Path]:
    """Two Hub caches, of `source` as it is and of `source` optimised in place."""
    repo = {models.MINILM: models.MINILM_REPO, models.BGE_LARGE: models.BGE_LARGE_REPO}[name]
    models.as_hub_cache(cache / "before", repo, REVISION, source)
    optimised = models.as_hub_cache(cache / "after", repo, REVISION, source)
    assert externalize(optimised / "model.onnx", optimised / "model.onnx")
    return cache / "before", cache / "after"


def embed(cache: Path, name: str) -> NDArray[np.float32]:
    model = TextEmbedding(name, cache_dir=str(cache), local_files_only=True, threads=2)
    return np.stack(list(model.embed(TEXTS)))


@pytest.mark.parametrize(
    ("fixture", "name"),
    [
        ("minilm_dir", models.MINILM),
        ("minilm_fp16_dir", models.MINILM),
        ("tiny_dir", models.MINILM),
        ("tiny_dir", models.BGE_LARGE),
    ],
)
def test_embeddings_are_the_same_bits(
    fixture: str, name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Stock FastEmbed loads the optimised model, whose vectors differ in no bit."""
    before, after = snapshots(tmp_path, request.getfixturevalue(fixture), name)
    assert np.array_equal(embed(after, name), embed(before, name))


def test_a_real_model_is_the_same_model(minilm_dir: Path, tmp_path: Path) -> None:
    """The MiniLM passes ONNX's checker and ours, and is what it was once its data is read back."""
    target = tmp_path / "model.onnx"
    assert externalize(minilm_dir / "model.onnx", target)
    onnx.checker.check_model(str(target))
    for path in (target, tmp_path / "model.onnx.data"):
        whole.check(path, path.name)
        assert path.is_file()
        assert not path.is_symlink()
    assert target.stat().st_size < 64 * 1024
    again, before = onnx.load(target), onnx.load(minilm_dir / "model.onnx")
    for tensor in again.graph.initializer:
        tensor.ClearField("data_location")
    assert again == before


def test_onnxruntime_maps_the_weights(minilm_dir: Path, tmp_path: Path) -> None:
    """Every tensor that was moved is mapped: loading takes hardly more than the session itself."""
    target = tmp_path / "model.onnx"
    assert externalize(minilm_dir / "model.onnx", target)
    model = onnx.load(target, load_external_data=False)
    moved = sum(bool(each.external_data) for each in model.graph.initializer)
    before, after = child(BARE, minilm_dir / "model.onnx"), child(BARE, target)
    assert before["maps"] == 0
    assert after["maps"] == moved
    assert after["digest"] == before["digest"]


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory that is gone at once: pytest keeps those of several runs, and this has 5 GB."""
    with tempfile.TemporaryDirectory(prefix="model-agent-optimizing-") as path:
        yield Path(path)


def test_a_model_of_true_size(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """bge-large's 1.34 GB are rewritten below 100 MiB, and load faster to the same vectors."""
    models.write_bge_large(room / "large")
    before = models.as_hub_cache(room / "before", models.BGE_LARGE_REPO, REVISION, room / "large")
    rewritten = child(REWRITE, room / "large" / "model.onnx", room / "large" / "model.onnx")
    after = models.as_hub_cache(room / "after", models.BGE_LARGE_REPO, REVISION, room / "large")
    bare = [child(BARE, each / "model.onnx") for each in (before, after)]
    stock = [child(STOCK, room / each, models.BGE_LARGE) for each in ("before", "after")]
    with capsys.disabled():
        report("rewrite", [rewritten])
        report("bare session, weights inside and beside", bare)
        report("stock FastEmbed, weights inside and beside", stock)
    assert rewritten["written"]
    assert rewritten["peak"] < LIMIT_BYTES
    for one, other in (bare, stock):
        assert one["digest"] == other["digest"]
        assert one["peak"] > other["peak"]
    for path in (after / "model.onnx", after / "model.onnx.data"):
        whole.check(path, path.name)


def report(what: str, runs: list[dict[str, Any]]) -> None:
    """Show times and peaks, also where the test passes."""
    shown = ", ".join(f"{run['seconds']:.2f} s at {run['peak'] / MIB:.0f} MiB" for run in runs)
    print(f"\n{what}: {shown}", end="")
