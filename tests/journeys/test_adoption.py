"""Adoption: a hand-made tree becomes a release that its loaders read, or the failing file is named.

The models are tiny ones under the names of the built-in catalog. Each good tree is also loaded by
stock FastEmbed, offline, out of the store.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from fastembed import TextEmbedding
from structlog.testing import capture_logs

from agent.doctor import examination
from agent.errors import AgentError, Exit, ReleaseMissingError
from agent.models.contents import Contents
from agent.publish.source import TreeSource
from agent.shares.directory import DirectoryShare
from agent.store import room, stage
from agent.store.store import Store
from agent.sync import init
from tests.support import models
from tests.support.pods import Pod
from tests.support.shares import REVISION, in_memory, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent.release.manifest import Manifest
    from agent.release.wanted import Wanted

NAME, REPO = models.BGE_LARGE, models.BGE_LARGE_REPO
FLAT = "models--BAAI--bge-large-en-v1.5"
CACHE = "models--Qdrant--bge-large-en-v1.5-onnx"
LOWER = "models--qdrant--bge-large-en-v1.5-onnx"
ST = "all-MiniLM-L6-v2"
ST_CACHE = "models--sentence-transformers--all-MiniLM-L6-v2"
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
TEXTS = ["A man is eating food.", "the sky", "hello world"]
UNKNOWN = "0" * 40
# Have an agent go by the built-in catalog.
BUILT_IN = {"MODEL_AGENT_CATALOG": ""}


@pytest.fixture(scope="module")
def wanted() -> tuple[Wanted, ...]:
    """What the built-in catalog means in files; FastEmbed is asked once."""
    return Contents().wanted


@pytest.fixture(scope="module")
def vectors(tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the tiny model says to `TEXTS`."""
    cache = tmp_path_factory.mktemp("reference")
    models.as_hub_cache(cache, REPO, REVISION, tiny_dir)
    return embed(cache)


def embed(cache: Path) -> Any:
    """The vectors of stock FastEmbed, offline."""
    stock = TextEmbedding(NAME, cache_dir=str(cache), local_files_only=True, threads=1)
    return np.stack(list(stock.embed(TEXTS)))


class Bench(Pod):
    """A pod whose share has a tree and no release, and `init` in this process."""

    def __init__(self, root: Path, source: Path, wanted: tuple[Wanted, ...]) -> None:
        super().__init__(root, env=BUILT_IN)
        self.source = source
        self.wanted = wanted

    def adopt(self, version: str = "unversioned", **flags: str) -> Manifest:
        """Run `init`; give the manifest of what is active then.

        Raises:
            AgentError: It failed.
        """
        told = self.examined(**flags)
        context = self.context(no_warm="true", **flags)
        vars(context.contents)["wanted"] = self.wanted
        init.run(context)
        assert told == [], "the doctor found what init did not"
        assert self.active() == version
        return self.manifest(version)

    def examined(self, **flags: str) -> list[int]:
        """Run the doctor; return the exit codes of what it found on the share."""
        context = self.context(reload_method="none", **flags)
        vars(context.contents)["wanted"] = self.wanted
        found = [f for f in examination.examine(context) if f.check not in {"store", "environment"}]
        return [each.exit_code for each in found if each.error]

    def refused(self, code: int, *names: str, **flags: str) -> None:
        """Run `init` and see it fail with `code`, name the files, and leave the store empty."""
        before = snapshot(self.share.root)
        assert code in {*self.examined(**flags), Exit.WARMUP}, "the doctor runs no models"
        with pytest.raises(AgentError) as raised:
            self.adopt(**flags)
        assert raised.value.exit_code == code, raised.value
        assert [name for name in names if name not in str(raised.value)] == [], raised.value
        self.assert_empty()
        assert snapshot(self.share.root) == before

    def flat(self, root: str = "fastembed") -> Path:
        """Lay the model out as the old documentation says."""
        return shutil.copytree(self.source, self.share.root / root / FLAT)

    def cache(self, folder: str = CACHE, root: str = "fastembed") -> Path:
        """Lay the model out as FastEmbed's cache, without its links; give the snapshot."""
        made = models.as_hub_cache(self.share.root / root, REPO, REVISION, self.source)
        (self.share.root / root / CACHE).rename(self.share.root / root / folder)
        return self.share.root / root / folder / made.relative_to(self.share.root / root / CACHE)

    def linked(self) -> Path:
        """Lay the model out as FastEmbed's cache, with links into `blobs/`; give the snapshot."""
        held = self.cache()
        blobs = held.parents[1] / "blobs"
        blobs.mkdir()
        for number, path in enumerate(sorted(held.iterdir())):
            path.rename(blobs / f"{number:040x}")
            path.symlink_to(f"../../blobs/{number:040x}")
        return held


@pytest.fixture
def bench(tiny_dir: Path, wanted: tuple[Wanted, ...]) -> Iterator[Bench]:
    """A bench in memory."""
    with in_memory() as scratch:
        yield Bench(scratch, tiny_dir, wanted)


def write_sentence_transformers(directory: Path, *, pickle: bool = False) -> None:
    """Write a tiny model in the form of sentence-transformers; its weights are noise."""
    shape = [3000, 32]
    data = np.random.default_rng(0).standard_normal(shape, np.float32).tobytes()
    tensor = {"dtype": "F32", "shape": shape, "data_offsets": [0, len(data)]}
    header = json.dumps({"embeddings.word_embeddings.weight": tensor}).encode()
    weights = len(header).to_bytes(8, "little") + header + data
    config = {"hidden_size": 32, "vocab_size": 3000, "max_position_embeddings": 512}
    files = {
        "model.safetensors": weights,
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": b'{"model": {}}',
        "modules.json": json.dumps(MODULES).encode(),
        "1_Pooling/config.json": b'{"word_embedding_dimension": 32}',
        "sentence_bert_config.json": b'{"max_seq_length": 256}',
    }
    if pickle:
        files["pytorch_model.bin"] = b"\x80\x02}q\x00."
    for name, content in files.items():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


GOOD: dict[str, tuple[Callable[[Bench], object], str]] = {
    "flat": (Bench.flat, UNKNOWN),
    "cache": (Bench.cache, REVISION),
    "links": (Bench.linked, REVISION),
    "no ref": (lambda b: (b.cache().parents[1] / "refs/main").unlink(), REVISION),
    "lower case": (lambda b: b.cache(LOWER), REVISION),
}


@pytest.mark.parametrize(("lay_out", "revision"), GOOD.values(), ids=GOOD)
def test_a_tree_that_loads(
    lay_out: Callable[[Bench], object], revision: str, bench: Bench, vectors: Any
) -> None:
    """However operators made the tree, stock FastEmbed loads it from the store, offline.

    The store holds plain files only, each verified, under FastEmbed's own folder.
    """
    lay_out(bench)
    before = snapshot(bench.share.root)
    release = bench.adopt()
    (model,) = release.models
    assert (model.name, model.repo, model.revision) == (NAME, REPO, revision)
    assert (model.dim, model.max_length) == (32, 512)
    assert model.canary
    home = bench.store / "fastembed" / CACHE
    assert (home / "refs/main").read_text() == revision
    names = {path.name for path in bench.source.iterdir()}
    assert {path.name for path in (home / "snapshots" / revision).iterdir()} == names
    assert not [p for p in (bench.store / "releases").rglob("*") if p.is_symlink()]
    np.testing.assert_allclose(embed(bench.store / "fastembed"), vectors, atol=1e-6)
    assert snapshot(bench.share.root) == before


@pytest.mark.slow
def test_the_lower_case_view_alone(bench: Bench, vectors: Any) -> None:
    """Older releases of FastEmbed look for a folder in lower case: it loads all by itself."""
    bench.flat()
    bench.adopt()
    elsewhere = bench.store.with_name("elsewhere")
    shutil.copytree(bench.store / "releases/unversioned/fastembed" / LOWER, elsewhere / LOWER)
    np.testing.assert_allclose(embed(elsewhere), vectors, atol=1e-6)


@pytest.mark.slow
def test_a_suffix(bench: Bench, vectors: Any) -> None:
    """The marker `v2` means `fastembed-v2/` where there is one, not the tree without a suffix."""
    bench.cache(root="fastembed-v2")
    damaged = bench.flat()
    (damaged / "model.onnx").write_bytes(b"not this one")
    (bench.share.root / "VERSION").write_text("v2\n")
    release = bench.adopt("v2")
    assert all(file.path.startswith(f"fastembed/{CACHE}/") for file in release.files)
    np.testing.assert_allclose(embed(bench.store / "fastembed"), vectors, atol=1e-6)


@pytest.mark.slow
def test_room_is_made_for_a_tree(bench: Bench) -> None:
    """A release before the active one makes way for what is adopted, as for what is published."""
    for version in ("v1", "v2"):
        bench.cache(root=f"fastembed-{version}")
        (bench.share.root / "VERSION").write_text(f"{version}\n")
        release = bench.adopt(version)
    bench.cache(root="fastembed-v3")
    (bench.share.root / "VERSION").write_text("v3\n")
    limit = room.used_bytes(Store(bench.store)) + stage.OVERHEAD_BYTES + release.size // 2
    bench.adopt("v3", store_limit=str(limit))
    assert set(Store(bench.store).versions()) == {"v2", "v3"}


def test_a_tree_that_changes_meanwhile(bench: Bench) -> None:
    """A file that goes after it was planned for is named."""
    snapshot = bench.cache()
    source = TreeSource(DirectoryShare(bench.share.root), bench.wanted, strict=False)
    plan = source.plan()
    (snapshot / "model.onnx").unlink()
    with pytest.raises(ReleaseMissingError, match=r"model\.onnx has gone from"):
        source.size(plan)


def test_a_suffix_that_no_tree_has(bench: Bench) -> None:
    """A mistyped marker never means the tree of another version."""
    bench.cache(root="fastembed-v2")
    (bench.share.root / "VERSION").write_text("v3\n")
    bench.refused(4, "v3")


def test_the_markers_version(bench: Bench) -> None:
    """A tree without a suffix has the version that the marker names."""
    bench.flat()
    (bench.share.root / "VERSION").write_text("today\n")
    assert bench.adopt("today").version == "today"


@pytest.mark.parametrize("name", ["weights.bin", "model.onnx_data"])
def test_external_weights_by_another_name(
    name: str, bench: Bench, tmp_path: Path, vectors: Any
) -> None:
    """The graph says what its weights are called; what lies beside them stays behind."""
    models.write_tiny(tmp_path / "external", weights="external")
    model = onnx.load(tmp_path / "external" / "model.onnx")
    held = shutil.copytree(tmp_path / "external", bench.share.root / "fastembed" / FLAT)
    for path in held.glob("model.onnx*"):
        path.unlink()
    onnx.save(model, held / "model.onnx", save_as_external_data=True, location=name)
    (held / "model.onnx_data.old").write_bytes(b"of no use")
    (held / "other.bin").write_bytes(b"of no use")
    release = bench.adopt()
    taken = {path.rpartition("/")[2] for path in (file.path for file in release.files)}
    assert name in taken
    assert not taken & {"other.bin", "model.onnx_data.old"}
    assert release.pickles == ()
    np.testing.assert_allclose(embed(bench.store / "fastembed"), vectors, atol=1e-6)


def test_external_weights(bench: Bench, tmp_path: Path, vectors: Any) -> None:
    """Weights as external data stay beside their model, as regular files."""
    models.write_tiny(tmp_path / "external", weights="external")
    shutil.copytree(tmp_path / "external", bench.share.root / "fastembed" / FLAT)
    bench.adopt()
    held = bench.store / f"releases/unversioned/fastembed/{CACHE}/snapshots/{UNKNOWN}"
    assert (held / "model.onnx.data").is_file()
    np.testing.assert_allclose(embed(bench.store / "fastembed"), vectors, atol=1e-6)


def test_what_is_left_out(bench: Bench, vectors: Any) -> None:
    """FastEmbed's list of sizes, pickles beside ONNX and what is nobody's business stay behind."""
    held = bench.cache()
    for name in ("files_metadata.json", "pytorch_model.bin", "README.md", ".gitattributes"):
        (held / name).write_text("{}")
    shutil.copy(held / "files_metadata.json", held.parents[1])
    release = bench.adopt()
    names = {file.path.rpartition("/")[2] for file in release.files}
    assert names == {path.name for path in bench.source.iterdir()} | {"main"}
    np.testing.assert_allclose(embed(bench.store / "fastembed"), vectors, atol=1e-6)


@pytest.mark.parametrize("form", ["flat", "cache"])
def test_a_sentence_transformers_tree(form: str, bench: Bench) -> None:
    """sentence-transformers finds the model by name in its cache, and by path where it was."""
    root = bench.share.root / "sentence_transformers"
    inside = ST if form == "flat" else f"{ST_CACHE}/snapshots/{REVISION}"
    write_sentence_transformers(root / inside, pickle=True)
    release = bench.adopt()
    (model,) = release.models
    assert (model.loader, model.dim, model.max_length) == ("sentence-transformers", 32, 256)
    revision = UNKNOWN if form == "flat" else REVISION
    assert model.revision == revision
    home = bench.store / "sentence_transformers"
    assert (home / ST_CACHE / "refs/main").read_text() == revision
    for folder in (f"{ST_CACHE}/snapshots/{revision}", ST):
        names = {str(p.relative_to(home / folder)) for p in (home / folder).rglob("*")}
        assert {"model.safetensors", "modules.json", "1_Pooling/config.json"} <= names
        assert "pytorch_model.bin" not in names
        held = (home / folder / "model.safetensors").read_bytes()
        assert held == (root / inside / "model.safetensors").read_bytes()


def test_both_models(bench: Bench, vectors: Any) -> None:
    """The tree of the built-in catalog: FastEmbed's model and the fallback, in one release."""
    bench.flat()
    write_sentence_transformers(bench.share.root / "sentence_transformers" / ST)
    assert {model.loader for model in bench.adopt().models} == {
        "fastembed",
        "sentence-transformers",
    }
    np.testing.assert_allclose(embed(bench.store / "fastembed"), vectors, atol=1e-6)


@pytest.mark.slow
def test_one_of_two_models(bench: Bench) -> None:
    """A tree that lacks a model of the built-in catalog is taken, and nobody overlooks that."""
    bench.flat()
    fallback = f"sentence-transformers/{ST} (sentence-transformers)"
    done = bench.run("init", "--no-warm").ok()
    assert done.stdout.endswith(f" s, without {fallback}: the tree lacks it.\n"), done.stdout
    assert done.named("catalog.model_missing")[0]["loader"] == "sentence-transformers"
    doctor = bench.run("doctor", "--reload-method", "none")
    (line,) = [line for line in doctor.stdout.splitlines() if line.startswith("warn  layout")]
    assert f"sentence_transformers/{ST_CACHE}" in line
    assert "is missing" in line
    (bench.share.root / "fastembed").rename(bench.share.root / "huggingface")
    write_sentence_transformers(bench.share.root / "sentence_transformers" / ST)
    done = bench.another("other").run("init", "--no-warm").ok()
    assert f"without {NAME} (fastembed)" in done.stdout


def test_a_pickle_alone(bench: Bench) -> None:
    """A pickle without safetensors is staged with a warning: it is what the worker loads today."""
    home = bench.share.root / "sentence_transformers" / ST
    write_sentence_transformers(home, pickle=True)
    (home / "model.safetensors").unlink()
    with capture_logs() as events:
        release = bench.adopt()
    assert [path.rpartition("/")[2] for path in release.pickles] == ["pytorch_model.bin"]
    (warning,) = [event for event in events if event["event"] == "release.pickle"]
    assert warning["log_level"] == "warning"
    assert warning["path"] == release.pickles[0]


def empty_snapshots(bench: Bench) -> None:
    """Leave out the links, as AzCopy does."""
    for path in bench.linked().iterdir():
        path.unlink()


def no_snapshots_directory(bench: Bench) -> None:
    """Leave out directories too that hold nothing, as blob-like stores do."""
    empty_snapshots(bench)
    shutil.rmtree(bench.share.root / "fastembed" / CACHE / "snapshots")


def dangling(bench: Bench) -> None:
    held = bench.linked()
    (held / "model.onnx").resolve().unlink()


INCOMPLETE: dict[str, tuple[Callable[[Bench], object], str]] = {
    "emptied snapshots": (empty_snapshots, f"fastembed/{CACHE}/snapshots"),
    "no snapshots": (no_snapshots_directory, f"fastembed/{CACHE}"),
    "a dangling link": (dangling, f"{CACHE}/snapshots/{REVISION}/model.onnx"),
    "no model": (lambda b: (b.flat() / "model.onnx").unlink(), f"{FLAT}/model.onnx"),
    "no tokenizer": (lambda b: (b.flat() / "tokenizer.json").unlink(), f"{FLAT}/tokenizer.json"),
    "nothing": (lambda b: (b.share.root / "fastembed").mkdir(), f"fastembed/{CACHE}"),
}


@pytest.mark.parametrize(("lay_out", "name"), INCOMPLETE.values(), ids=INCOMPLETE)
def test_an_incomplete_tree(lay_out: Callable[[Bench], object], name: str, bench: Bench) -> None:
    """A tree that is not whole is exit 4, and the sentence names the file that would mend it."""
    lay_out(bench)
    bench.refused(4, name)


@pytest.mark.parametrize("target", ["model.onnx", "directory", "root"])
def test_a_link_out_of_the_share(target: str, bench: Bench) -> None:
    """A link that leads out of the share is never followed: exit 4."""
    held = bench.flat()
    outside = bench.store.with_name("outside")
    linked = {"directory": held, "root": held.parent}.get(target, held / target)
    linked.rename(outside)
    linked.symlink_to(outside)
    bench.refused(4, "fastembed/")


def test_a_file_out_of_the_share_is_left_out(bench: Bench) -> None:
    """A file that a model can do without is not fetched from outside the share."""
    held = bench.flat()
    outside = bench.store.with_name("secret")
    outside.write_text('{"secret": true}')
    (held / "preprocessor_config.json").symlink_to(outside)
    release = bench.adopt()
    assert not [file for file in release.files if file.path.endswith("preprocessor_config.json")]
    found = [path for path in bench.store.rglob("*") if path.is_file()]
    assert not [path for path in found if b"secret" in path.read_bytes()]


def zero_tail(path: Path) -> None:
    """What an upload to Azure Files leaves that broke off: the full size, zeros from there on."""
    size = path.stat().st_size
    os.truncate(path, size // 2)
    os.truncate(path, size)


def lfs_pointer(path: Path) -> None:
    lines = ("version https://git-lfs.github.com/spec/v1", f"oid sha256:{'0' * 64}", "size 133")
    path.write_text("\n".join(lines) + "\n")


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


DAMAGE = {
    "zero tail": (zero_tail, "model.onnx"),
    "LFS pointer": (lfs_pointer, "model.onnx"),
    "truncated ONNX": (truncated, "model.onnx"),
    "empty ONNX": (lambda p: os.truncate(p, 0), "model.onnx"),
    "truncated tokenizer": (truncated, "tokenizer.json"),
    "no tokenizer": (lambda p: p.write_text("{}"), "tokenizer.json"),
    "zeroed config": (zero_tail, "config.json"),
}


@pytest.mark.parametrize(("damage", "name"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file(damage: Callable[[Path], object], name: str, bench: Bench) -> None:
    """A file that its own format shows to be damaged is exit 5, by name."""
    held = bench.flat()
    if damage is truncated and name.endswith(".json"):
        text = (held / name).read_text().rstrip()
        (held / name).write_text(text)
    damage(held / name)
    bench.refused(5, f"fastembed/{FLAT}/{name}")


@pytest.mark.parametrize("damage", [zero_tail, truncated])
def test_damaged_external_data(
    damage: Callable[[Path], object], bench: Bench, tmp_path: Path
) -> None:
    """Weights as external data that are cut off or end in zeros are exit 5, by name."""
    models.write_tiny(tmp_path / "external", weights="external")
    held = shutil.copytree(tmp_path / "external", bench.share.root / "fastembed" / FLAT)
    damage(held / "model.onnx.data")
    bench.refused(5, "model.onnx.data")


@pytest.mark.parametrize("damage", [zero_tail, truncated, lfs_pointer])
def test_damaged_safetensors(damage: Callable[[Path], object], bench: Bench) -> None:
    """Damaged safetensors are exit 5, by name."""
    home = bench.share.root / "sentence_transformers" / ST
    write_sentence_transformers(home)
    damage(home / "model.safetensors")
    bench.refused(5, f"sentence_transformers/{ST}/model.safetensors")


def test_a_manifest_may_be_required(bench: Bench) -> None:
    """With `--require-manifest` a hand-made tree is no release: exit 4."""
    bench.flat()
    bench.refused(4, require_manifest="true")
    (bench.share.root / "VERSION").write_text("v1\n")
    bench.refused(4, "v1", require_manifest="true")


@pytest.mark.slow
def test_published_and_adopted_are_the_same(bench: Bench, tmp_path: Path) -> None:
    """The same content under the same version has the same digest, however it became a release.

    This one goes by the command line, with the built-in catalog, warm-up included. (That catalog
    has weights optimised when they are published; they are other bytes then.)
    """
    bench.flat()
    shutil.copytree(bench.share.root, tmp_path / "tree")
    (bench.share.root / "VERSION").write_text("v1\n")
    done = bench.run("init")
    assert done.code == 0, done.lines
    adopted = bench.manifest("v1")
    assert done.named("model.warmed")[0]["model"] == NAME
    other = Pod(tmp_path, env=BUILT_IN)
    done = other.publish_tree("v1", tmp_path / "tree", "--no-optimize")
    assert done.code == 0, done.lines
    published = other.share.manifest("v1")
    assert published.digest == adopted.digest
    assert f"digest {adopted.digest}" in done.stdout


@pytest.mark.slow
def test_adopting_twice(bench: Bench) -> None:
    """Once adopted, a tree is not read again."""
    bench.flat()
    first = bench.adopt()
    with capture_logs() as events:
        assert bench.adopt().digest == first.digest
    assert not [event for event in events if event["event"] == "release.staged"]
