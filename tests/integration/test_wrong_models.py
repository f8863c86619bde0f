"""What digests cannot see, the canary does: sound files of a wrong model never serve."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Final

import pytest

from agent import layout, manifest
from tests.support import agents, models, stores, wrong_models
from tests.support.cluster import Cluster
from tests.support.scripted import obey, scripted
from tests.support.workers import worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.manifest import Canary
    from tests.support.agents import Result
    from tests.support.workers import Worker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NAME, REPO = models.MINILM, models.MINILM_REPO
# What the refusal says of each.
WORDS: Final = {name: ["fails its canary: cosine", "at least 0.999"] for name in wrong_models.EVERY}
WORDS["nan"] = ["zero or not finite"]


@pytest.fixture(scope="module")
def share(
    minilm_external_dir: Path, minilm_fp16_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Releases that carry the right canary: `right`, `fp16`, and one of each wrong model."""
    root = tmp_path_factory.mktemp("wrong")
    canary = stores.canary_of(minilm_external_dir, name=NAME, repo=REPO, scratch=root / "cache")
    sources = {"right": minilm_external_dir, "fp16": minilm_fp16_dir}
    for name, write in wrong_models.EVERY.items():
        write(minilm_external_dir, root / "models" / name)
        sources[name] = root / "models" / name
    for name, source in sources.items():
        release(root / "share", name, source, canary)
    yield root / "share"
    shutil.rmtree(root)


def release(share: Path, name: str, source: Path, canary: Canary) -> None:
    stores.fastembed_release(share, name, source, name=NAME, repo=REPO, canary=canary, dim=384)


def init(share: Path, store: Path, version: str) -> Result:
    store.mkdir(exist_ok=True)
    (share / "VERSION").write_text(f"{version}\n")
    arguments = ("--share", share, "--store", store, "--device", "cpu", "--no-fallback")
    return agents.run("init", *arguments, timeout=120)


@pytest.mark.parametrize("name", wrong_models.EVERY)
def test_init_refuses_it(name: str, share: Path, tmp_path: Path) -> None:
    """Exit 7, with the model, how far it is off and what to do; what was active stays so."""
    store = tmp_path / "store"
    assert init(share, store, "right").code == 0
    done = init(share, store, name)
    assert done.code == 7, done.lines
    assert [word for word in [NAME, *WORDS[name]] if word not in done.sentence] == []
    assert done.sentence.endswith("Publish the release again from the right files.")
    assert (store / "current").readlink().name == "right"
    state = json.loads((store / ".agent" / "state.json").read_text())
    assert WORDS[name][0] in state["quarantined"][name]["reason"]


def test_rounded_weights_are_no_wrong_model(share: Path, tmp_path: Path) -> None:
    """The same model in float16 passes."""
    done = init(share, tmp_path / "store", "fp16")
    assert done.code == 0, done.lines


@pytest.fixture(scope="module")
def serving(share: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker that serves `right`; its store is the share itself."""
    stores.activate(share, "right")
    log = tmp_path_factory.mktemp("worker") / "log"
    with worker(share, model=NAME, log=log) as running:
        running.wait("ready", "right")
        yield running


@pytest.mark.parametrize("name", wrong_models.EVERY)
def test_the_worker_refuses_it(name: str, share: Path, serving: Worker) -> None:
    """Asked to reload to it, the worker says why it does not, and serves the right one on."""
    path = share / "releases" / name / manifest.FILE_NAME
    serving.reload(manifest.parse(path.read_bytes()))
    model = serving.wait("failed", name)
    assert (model["version"], WORDS[name][0] in model["reason"]) == ("right", True)
    assert serving.embed("campus map").headers["X-Model-Version"] == "right"


def test_the_sidecar_refuses_it(share: Path, tmp_path: Path) -> None:
    """It is quarantined, and the worker never hears of it."""
    cluster = Cluster(tmp_path)
    shutil.rmtree(cluster.share)
    cluster.share = share
    (share / "VERSION").write_text("right\n")
    cluster.agent("init")
    with scripted(obey) as asked, cluster.sidecar(asked.url) as sidecar:
        asked.serve("right", cluster.digest("right"))
        (share / "VERSION").write_text("cls-pooling\n")
        sidecar.look_now()
        event = sidecar.wait_for("release.quarantined", version="cls-pooling")
        assert "fails its canary" in event["reason"]
        assert "cls-pooling" not in {request["version"] for request in asked.asked}
    assert cluster.active() == "right"


def publish(share: Path, name: str, cluster: Cluster) -> Result:
    """Publish the files of a release as if they were found in a tree."""
    tree = cluster.root / f"tree-{name}"
    shutil.copytree(share / "releases" / name / layout.FASTEMBED, tree / layout.FASTEMBED)
    arguments = ("publish", "--from", tree, "--version", name)
    return agents.run(*arguments, env=cluster.environment(), timeout=120)


@pytest.mark.parametrize(("name", "minimum"), [("right", 0.999), ("fp16", 0.99)])
def test_publish_makes_the_canary_that_fits(
    name: str, minimum: float, share: Path, tmp_path: Path
) -> None:
    """Rounded weights get a wider tolerance than others, and the release passes its own warm-up."""
    cluster = Cluster(tmp_path)
    assert publish(share, name, cluster).code == 0
    path = cluster.share / "releases" / name / manifest.FILE_NAME
    (model,) = manifest.parse(path.read_bytes()).models
    assert model.canary is not None
    assert model.canary.min_cosine == minimum
    assert init(cluster.share, cluster.store, name).code == 0


def test_publish_refuses_what_is_no_number(share: Path, tmp_path: Path) -> None:
    """A model that gives NaN for one text is no release: exit 7, nothing on the share."""
    cluster = Cluster(tmp_path)
    done = publish(share, "nan", cluster)
    assert done.code == 7, done.lines
    assert "zero or not finite" in done.sentence
    assert not list((cluster.share / "releases").glob("*"))
