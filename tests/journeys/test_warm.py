"""`model-agent warm`: what a release's models do on a device, in a table; and it never hangs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from agent.release import layout
from tests.support import agents, models, stores
from tests.support.pods import Pod
from tests.support.workers import until, worker

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.support.agents import Result

# Made by `make test-slow`: torch and sentence-transformers.
LOADERS: Final = agents.REPO / ".venv-loaders" / "bin" / "model-agent"
# qdrant/fastembed's own numbers for "hello world".
HELLO_WORLD: Final = [-0.034478, 0.03102, 0.00673, 0.02611, -0.039362]
ST_REVISION: Final = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
CATALOG: Final = f"""\
version = "v1"
[[model]]
name = "{models.MINILM}"
loader = "sentence-transformers"
"""


@pytest.fixture(scope="module")
def store(minilm_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the real MiniLM for FastEmbed as v1, which is active."""
    root = tmp_path_factory.mktemp("warm")
    name, repo = models.MINILM, models.MINILM_REPO
    canary = stores.canary_of(minilm_dir, name=name, repo=repo, scratch=root / "cache")
    stores.fastembed_release(
        root / "store", "v1", minilm_dir, name=name, repo=repo, canary=canary, dim=384
    )
    stores.activate(root / "store", "v1")
    shutil.rmtree(root / "cache")
    return root / "store"


def warm(store: Path, *flags: str, timeout: float = 300) -> Result:
    return agents.run("warm", "--store", store, "--device", "cpu", *flags, timeout=timeout)


@pytest.mark.slow
def test_the_table(store: Path) -> None:
    """The real MiniLM's table has its device, times, memory, canary, and a line a shape."""
    before = sorted(store.rglob("*"))
    done = warm(store, "--warm-shapes", "1x16,3x24,2x9000")
    assert done.code == 0, done.lines
    assert f"{models.MINILM} (fastembed): 384 numbers, 512 tokens, fp32" in done.stdout
    assert "CPUExecutionProvider" in done.stdout
    assert "cosine 1.000000, at least 0.999" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    shapes = [row[0] for row in rows if row and row[0][:1].isdigit()]
    assert shapes == ["1x16", "3x24", "2x512"]  # no text is longer than the model reads
    assert sorted(store.rglob("*")) == before


@pytest.mark.slow
def test_the_table_for_programs(store: Path) -> None:
    """`--json` has the same, in seconds and bytes."""
    done = warm(store, "v1", "--json", "--warm-shapes", "2x16")
    document = json.loads(done.stdout)
    (model,) = document["models"]
    (shape,) = model["shapes"]
    assert (shape["texts"], shape["tokens"]) == (2, 16)
    assert shape["texts_per_second"] == pytest.approx(2 / shape["steady_seconds"])
    assert min(model["canary_cosines"]) == model["canary_cosine"] > 0.999999
    assert (model["not_run"], model["precision"]) == (None, "fp32")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["v9"], 4, "v9"),
        (["../v1"], 2, "is not a version"),
        (["--warm-shapes", "big"], 2, "1x16,32x512"),
        (["--warm-timeout", "200ms"], 7, "did not end within 0.2 s"),
    ],
)
def test_what_cannot_be_warmed(arguments: list[str], code: int, words: str, store: Path) -> None:
    """Each has its exit code and its sentence."""
    done = warm(store, *arguments)
    assert done.code == code, done.lines
    assert words in done.sentence


def test_nothing_to_warm(tmp_path: Path) -> None:
    """An empty store has nothing active, and a version is asked for."""
    done = warm(tmp_path)
    assert done.code == 2
    assert "Nothing is active in the store." in done.sentence


@pytest.fixture
def hung(store: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A warm-up whose child stands still in the middle, and the child."""
    command = ("warm", "--store", store, "--device", "cpu", "--warm-timeout", "7s")
    with agents.start(*command) as process:
        child = until(lambda: running_child(process.pid))
        os.kill(child, signal.SIGSTOP)
        yield process, child
        process.kill()


def running_child(parent: int) -> int | None:
    """The child of a warm-up, once it has loaded onnxruntime."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    for child in map(int, children):
        if b"onnxruntime" in Path(f"/proc/{child}/maps").read_bytes():
            return child
    return None


@pytest.mark.slow
def test_a_warm_up_that_hangs(hung: tuple[subprocess.Popen[str], int]) -> None:
    """What takes long is logged with its step, the deadline ends it, and the child is gone."""
    process, child = hung
    done = agents.finish(process)
    assert done.code == 7, done.lines
    assert "did not end within 7 s: it is loading" in done.sentence
    (beat,) = done.named("model.warming")
    assert beat["doing"].startswith("loading")
    assert beat["seconds"] >= 5
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.slow
def test_sigterm_ends_a_warm_up(hung: tuple[subprocess.Popen[str], int]) -> None:
    """It does not wait for a child that stands still."""
    process, child = hung
    began = time.monotonic()
    process.terminate()
    assert agents.finish(process).code == 143
    assert time.monotonic() - began < 3
    assert not Path(f"/proc/{child}").exists()


@pytest.fixture(scope="module")
def bge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store whose v1 has bge-large's true shape, load-optimised."""
    root = tmp_path_factory.mktemp("bge")
    directory = root / "releases" / "v1"
    folder = layout.repo_folder(models.BGE_LARGE_REPO)
    repo = directory / layout.FASTEMBED / folder
    models.write_bge_large(repo / "snapshots" / stores.REVISION, weights="external")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(stores.REVISION)
    entry = stores.a_model(name=models.BGE_LARGE, repo=models.BGE_LARGE_REPO, dim=1024)
    stores.write_manifest(directory, [entry])
    yield root
    shutil.rmtree(root)


@pytest.mark.slow
def test_the_true_size(bge: Path) -> None:
    """A model of bge-large's true size has its table too."""
    done = warm(bge, "v1", "--warm-shapes", "1x16,1x512,4x32", timeout=280)
    assert done.code == 0, done.lines
    print(f"\n{done.stdout}")
    assert f"{models.BGE_LARGE} (fastembed): 1024 numbers, 512 tokens, fp32" in done.stdout


@pytest.fixture
def st(tmp_path: Path, minilm_safetensors_dir: Path) -> Pod:
    """A pod beside a tree with the real MiniLM, whose agent can run sentence-transformers."""
    if not LOADERS.exists():
        pytest.skip("sentence-transformers is not installed; run make test-slow")
    made = Pod(tmp_path, env={"MODEL_AGENT_DEVICE": ""})
    made.program, made.seconds = LOADERS, 180.0
    made.share.catalog.write_text(CATALOG)
    folder = tmp_path / "tree" / "sentence_transformers"
    models.as_hub_cache(folder, models.MINILM, ST_REVISION, minilm_safetensors_dir)
    return made


def published(st: Pod) -> Result:
    """Publish the tree, and have the marker name it."""
    done = st.publish_tree("v1", st.root / "tree").ok()
    assert st.run("promote", "v1").code == 0
    return done


@pytest.mark.slow
def test_sentence_transformers_is_run_where_it_is_installed(st: Pod) -> None:
    """There a release gets a canary; it is held to it there by torch, elsewhere by onnxruntime."""
    assert published(st).named("model.not_run") == []
    elsewhere = st.run("init", program=agents.PROGRAM)
    assert elsewhere.code == 0, elsewhere.lines
    assert elsewhere.named("model.not_run") == []
    for program, runs in ((LOADERS, "torch on cpu"), (agents.PROGRAM, "CPUExecutionProvider")):
        done = st.run("warm", program=program)
        assert done.code == 0, done.lines
        print(f"\n{done.stdout}")
        assert runs in done.stdout
        assert "cosine 1.000000, at least 0.999" in done.stdout


@pytest.mark.slow
def test_the_worker_runs_it_where_it_is_installed(st: Pod, tmp_path: Path) -> None:
    """The worker serves the loader's own vectors; without the library it says what it lacks."""
    published(st)
    assert st.run("init").code == 0
    python = LOADERS.with_name("python")
    with worker(st.store, model=models.MINILM, log=tmp_path / "log", python=python) as running:
        running.wait("ready", "v1", seconds=60)
        answer = running.embed("hello world").json()
    hello = answer["data"][0]["embedding"]
    assert hello[:5] == pytest.approx(HELLO_WORLD, abs=1e-3)
    assert answer["usage"]["prompt_tokens"] == 4  # with the two around it
    with worker(st.store, model=models.MINILM, log=tmp_path / "log") as running:
        reason = running.wait("failed", "v1")["reason"]
    assert "needs sentence-transformers" in reason
    assert "is not installed. Use an image with the extra st" in reason


@pytest.mark.slow
@pytest.mark.parametrize("program", [LOADERS, agents.PROGRAM], ids=["torch", "without"])
def test_its_pooling_is_held_to_the_canary(program: Path, st: Pod) -> None:
    """One line of JSON makes another model of it: the canary finds that, digests or not."""
    published(st)
    release = st.share.release("v1")
    (config,) = release.rglob("1_Pooling/config.json")
    pooling = json.loads(config.read_text())
    pooling |= {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    config.write_text(json.dumps(pooling))
    kept = json.loads((release / "manifest.json").read_text())["models"]
    entries = [stores.a_model(**entry) for entry in kept]
    stores.write_manifest(release, entries)
    done = st.run("init", "--no-fallback", program=program)
    assert done.code == 7, done.lines
    assert "fails its canary" in done.sentence
    assert st.active() is None


@pytest.mark.slow
def test_its_gpu_is_as_strict(st: Pod) -> None:
    """Torch without CUDA is named, and nothing falls back to the CPU."""
    published(st)
    assert st.run("init", "--device", "cpu").code == 0
    done = st.run("warm", "--device", "cuda")
    assert done.code == 7, done.lines
    assert "does not run on cuda: The torch" in done.sentence
    assert "is the CPU build" in done.sentence
