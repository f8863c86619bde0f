"""A release from the Hub is what each loader really reads: offline, as another user, read-only."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pytest

from tests.support import confined, models
from tests.support.hub_double import name_branch
from tests.support.hubs import HubPod, hub_pod
from tests.support.rest import rest_share
from tests.support.shares import REVISION, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

# Made by `make test-slow`: torch, sentence-transformers, and the oldest FastEmbed of our range.
LOADERS: Final = Path(__file__).parents[2] / ".venv-loaders" / "bin" / "python"
LOADING: Final = Path(__file__).parents[1] / "support" / "loading.py"
ST: Final = "sentence-transformers/all-MiniLM-L6-v2"
ST_REVISION: Final = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
# qdrant/fastembed's own numbers for "hello world".
HELLO_WORLD: Final = [-0.034478, 0.03102, 0.00673, 0.02611, -0.039362]
CATALOG: Final = f"""\
version = "v1"
[[model]]
name = "{models.MINILM}"
loader = "fastembed"
revision = "{REVISION}"
optimize = true
[[model]]
name = "{ST}"
loader = "sentence-transformers"
revision = "{ST_REVISION}"
[[model]]
name = "{ST}"
loader = "huggingface"
revision = "{ST_REVISION}"
allow = ["*.json", "*.safetensors", "*.txt"]
"""


@contextmanager
def open_directory() -> Iterator[Path]:
    """An empty directory that other users may enter, unlike pytest's."""
    directory = Path(tempfile.mkdtemp(prefix="loaders-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def fill(here: HubPod, minilm: Path, safetensors: Path) -> None:
    """Put the real MiniLM on the Hub, in both forms, with what else such repositories hold."""
    shutil.rmtree(here.repo)
    shutil.copytree(minilm, here.repo)
    other = here.root / "hub" / ST / ST_REVISION
    shutil.copytree(safetensors, other)
    (other / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    (other / "README.md").write_text("# all-MiniLM-L6-v2\n")
    (other / "onnx").mkdir()
    (other / "onnx" / "model.onnx").write_bytes(b"another form")
    name_branch(here.root / "hub", ST, "main", ST_REVISION)
    here.catalog.write_text(CATALOG)


class Places(NamedTuple):
    """Where a release may be read from: a pod's store, or a mount of the share."""

    store: Path
    share: Path


@pytest.fixture(scope="module")
def places(minilm_dir: Path, minilm_safetensors_dir: Path) -> Iterator[Places]:
    """The release: from the Hub to Azure Files, then to a store; all by real processes."""
    if reason := confined.why_not():
        pytest.skip(reason)
    with open_directory() as root, open_directory() as disk, hub_pod(root) as here:
        fill(here, minilm_dir, minilm_safetensors_dir)
        with rest_share(disk / "root") as share:
            env = share.env() | {"MODEL_AGENT_CATALOG": str(here.catalog)}
            for command in (("publish", str(here.catalog)), ("promote", "v1"), ("init",)):
                done = here.run(*command, env=env, timeout=300)
                assert done.code == 0, done.sentence
        yield Places(here.store, share.disk.release("v1"))


@pytest.fixture
def release(places: Places) -> Path:
    """The release as a store offers it."""
    return places.store


def load(store: Path, how: str, name: str, *, python: Path = LOADERS) -> list[float]:
    """The vector of "hello world", from a process that can do nothing but read the store."""
    if not python.exists():
        pytest.skip(f"{python} is not there: make test-slow makes it")
    env = {
        "FASTEMBED_CACHE_PATH": f"{store}/fastembed",
        "HF_HOME": f"{store}/huggingface",
        "SENTENCE_TRANSFORMERS_HOME": f"{store}/sentence_transformers",
        "HF_HUB_OFFLINE": "1",
        "HF_MODULES_CACHE": "/tmp/modules",
    }
    command = [str(python), str(LOADING), how, name, "hello world"]
    vector: list[float] = json.loads(confined.run(command, tree=store, env=env))
    return vector


@pytest.mark.parametrize("how", ["fastembed", "fastembed-cache-dir"])
@pytest.mark.parametrize("python", [Path(sys.executable), LOADERS], ids=["newest", "oldest"])
def test_fastembed(how: str, python: Path, release: Path) -> None:
    """FastEmbed loads by variable and by argument, the newest as the oldest version we admit."""
    vector = load(release, how, models.MINILM, python=python)
    assert np.allclose(vector[:5], HELLO_WORLD, atol=1e-4)


def test_optimised_weights_give_the_very_same(release: Path, minilm_dir: Path) -> None:
    """Weights as external data embed to the last bit as the Hub's file does."""
    with open_directory() as scratch:
        models.as_hub_cache(scratch / "fastembed", models.MINILM_REPO, REVISION, minilm_dir)
        for path in scratch.rglob("*"):
            path.chmod(0o755)
        before = load(scratch, "fastembed", models.MINILM, python=Path(sys.executable))
    after = load(release, "fastembed", models.MINILM, python=Path(sys.executable))
    assert after == before


@pytest.mark.parametrize(
    "name", [ST, "all-MiniLM-L6-v2", "PATH/sentence_transformers/all-MiniLM-L6-v2"]
)
def test_sentence_transformers(name: str, release: Path) -> None:
    """sentence-transformers loads by either name, and the documented directory by its path."""
    vector = load(release, "sentence-transformers", name.replace("PATH", str(release)))
    assert np.allclose(vector[:5], HELLO_WORLD, atol=1e-4)


def test_the_hub_cache(release: Path) -> None:
    """huggingface_hub finds the snapshot in HF_HOME, and its scan has nothing to warn of."""
    assert load(release, "snapshot", ST) == []


@pytest.mark.parametrize(
    ("how", "name"),
    [("fastembed", models.MINILM), ("sentence-transformers", ST), ("snapshot", ST)],
)
def test_the_share_itself(how: str, name: str, places: Places) -> None:
    """A worker that mounts the share directly loads from the release's own tree, without links."""
    vector = load(places.share, how, name)
    assert not vector or np.allclose(vector[:5], HELLO_WORLD, atol=1e-4)


def test_nothing_was_written(release: Path) -> None:
    """No loader left anything in the release; it is a read-only mount, and no one needs more."""
    before = snapshot(release)
    load(release, "fastembed", models.MINILM, python=Path(sys.executable))
    load(release, "snapshot", ST)
    assert snapshot(release) == before
