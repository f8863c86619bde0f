"""What digests cannot see, the canary does: sound files of a wrong model never serve."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any, Final

import pytest
from msgspec.structs import replace

from agent.release import layout, manifest, space
from tests.support import agents, models, stores, wrong_models
from tests.support.cluster import Cluster
from tests.support.scripted import obey, scripted
from tests.support.workers import until, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.release.manifest import Canary
    from tests.support.agents import Result
    from tests.support.workers import Worker

pytestmark = pytest.mark.timeout(300)

NAME, REPO = models.MINILM, models.MINILM_REPO
# What the refusal says of each.
WORDS: Final = {name: ["fails its canary: cosine", "at least 0.999"] for name in wrong_models.EVERY}
WORDS["nan"] = ["zero or not finite"]
# The only text of the canary that is long enough for it.
WORDS["provider-bug"].append("The quick brown fox number 0")
# The one that is hardest to see stands for all of them where time is short.
EVERY: Final = [
    pytest.param(name, marks=() if name == "provider-bug" else pytest.mark.slow)
    for name in wrong_models.EVERY
]
REMEDY: Final = "Publish the release again from the right files."


@pytest.fixture(scope="module")
def share(
    minilm_external_dir: Path, minilm_fp16_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Releases with the right canary: `right`, rounded ones, and one of each wrong model."""
    root = tmp_path_factory.mktemp("wrong")
    canary = stores.canary_of(minilm_external_dir, name=NAME, repo=REPO, scratch=root / "cache")
    models.write_minilm_onnx(root / "models" / "int8", weights="int8")
    for name, write in wrong_models.EVERY.items():
        write(minilm_external_dir, root / "models" / name)
        release(root / "share", name, root / "models" / name, canary)
    release(root / "share", "right", minilm_external_dir, canary)
    release(root / "share", "fp16", minilm_fp16_dir, canary)
    release(root / "share", "int8-as-fp32", root / "models" / "int8", canary)
    release(root / "share", "int8", root / "models" / "int8", replace(canary, min_cosine=0.99))
    yield root / "share"
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def store(share: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which `right` is active."""
    made = tmp_path_factory.mktemp("pod") / "store"
    done = init(share, made, "right")
    assert done.code == 0, done.lines
    return made


def release(share: Path, name: str, source: Path, canary: Canary) -> None:
    stores.fastembed_release(share, name, source, name=NAME, repo=REPO, canary=canary, dim=384)


def init(share: Path, store: Path, version: str) -> Result:
    store.mkdir(exist_ok=True)
    (share / "VERSION").write_text(f"{version}\n")
    arguments = ("--share", share, "--store", store, "--device", "cpu", "--no-fallback")
    return agents.run("init", *arguments, timeout=120)


def assert_refused(done: Result, store: Path, name: str, words: list[str]) -> None:
    """Exit 7 with these words and the remedy, and the release is not tried again by itself."""
    assert done.code == 7, done.lines
    assert [word for word in [NAME, *words, REMEDY] if word not in done.sentence] == []
    assert "Traceback" not in "\n".join(done.lines)
    state: Any = json.loads((store / ".agent" / "state.json").read_text())
    assert words[0] in state["quarantined"][name]["reason"]


@pytest.mark.parametrize("name", EVERY)
def test_init_refuses_it(name: str, share: Path, tmp_path: Path) -> None:
    """Exit 7, with the model, how far it is off and what to do; nothing is active."""
    assert_refused(init(share, tmp_path / "store", name), tmp_path / "store", name, WORDS[name])
    assert not (tmp_path / "store" / "current").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", wrong_models.EVERY)
def test_what_was_active_stays_so(name: str, share: Path, store: Path) -> None:
    """It does not take the place of a good release."""
    assert_refused(init(share, store, name), store, name, WORDS[name])
    assert (store / "current").readlink().name == "right"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fp16", "int8"])
def test_rounded_weights_are_no_wrong_model(name: str, share: Path, tmp_path: Path) -> None:
    """The same model in float16 passes even as fp32 would, in int8 with the room it is given."""
    done = init(share, tmp_path / "store", name)
    assert done.code == 0, done.lines
    assert (tmp_path / "store" / "current").readlink().name == name


@pytest.mark.slow
def test_int8_is_not_what_fp32_would_be(share: Path, tmp_path: Path) -> None:
    """Int8 weights under a manifest that was made of fp32 ones are not the model it speaks of."""
    done = init(share, tmp_path / "store", "int8-as-fp32")
    assert_refused(done, tmp_path / "store", "int8-as-fp32", ["cosine 0.99", "at least 0.999"])


@pytest.mark.slow
def test_a_provider_s_bug_shows_in_long_texts_only(
    share: Path, minilm_external_dir: Path, tmp_path: Path
) -> None:
    """What makes it hard to find: its short texts are right to the last bit."""
    wrong_models.provider_bug(minilm_external_dir, tmp_path / "wrong")
    vectors = {}
    for name, source in {"right": minilm_external_dir, "wrong": tmp_path / "wrong"}.items():
        scratch = tmp_path / f"cache-{name}"
        vectors[name] = stores.canary_of(source, name=NAME, repo=REPO, scratch=scratch).vectors
    pairs = zip(space.CANARY_TEXTS, vectors["right"], vectors["wrong"], strict=True)
    (text,) = [text for text, right, wrong in pairs if right != wrong]
    assert text == max(space.CANARY_TEXTS, key=len)


@pytest.fixture(scope="module")
def serving(share: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker that serves `right`; its store is the share itself."""
    stores.activate(share, "right")
    log = tmp_path_factory.mktemp("worker") / "log"
    with worker(share, model=NAME, log=log) as running:
        running.wait("ready", "right")
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("name", wrong_models.EVERY)
def test_the_worker_refuses_it(name: str, share: Path, serving: Worker) -> None:
    """Asked to reload to it, the worker says why it does not, and serves the right one on."""
    path = share / "releases" / name / manifest.FILE_NAME
    serving.reload(manifest.parse(path.read_bytes()))
    model = serving.wait("failed", name)
    assert model["version"] == "right"
    assert [word for word in [NAME, *WORDS[name]] if word not in model["reason"]] == []
    assert serving.embed("campus map").headers["X-Model-Version"] == "right"


@pytest.mark.slow
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
        looks = asked.looks
        sidecar.look_now()
        until(lambda: asked.looks > looks + 1)  # it has decided again since
        assert "cls-pooling" not in {request["version"] for request in asked.asked}
        assert sidecar.status()["quarantined"]["cls-pooling"]["reason"] == event["reason"]
        assert sidecar.get("/readyz").status_code == 200
    assert cluster.active() == "right"


def publish(share: Path, name: str, cluster: Cluster) -> Result:
    """Publish the files of a release as if they were found in a tree."""
    tree = cluster.root / f"tree-{name}"
    shutil.copytree(share / "releases" / name / layout.FASTEMBED, tree / layout.FASTEMBED)
    arguments = ("publish", "--from", tree, "--version", name)
    return agents.run(*arguments, env=cluster.environment(), timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "minimum"), [("right", 0.999), ("fp16", 0.99), ("int8", 0.99)])
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


@pytest.mark.slow
def test_publish_refuses_what_is_no_number(share: Path, tmp_path: Path) -> None:
    """A model that gives NaN for one text is no release: exit 7, nothing on the share."""
    cluster = Cluster(tmp_path)
    done = publish(share, "nan", cluster)
    assert done.code == 7, done.lines
    assert "zero or not finite" in done.sentence
    assert not list((cluster.share / "releases").glob("*"))
