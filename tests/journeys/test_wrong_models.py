"""What digests cannot see, the canary does: sound files of a wrong model never serve."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

import pytest
from msgspec.structs import replace

from agent.release import layout, space
from tests.support import models, stores, wrong_models
from tests.support.agents import assert_failed
from tests.support.pods import Pod
from tests.support.scripted import obey, scripted
from tests.support.shares import TestShare
from tests.support.workers import until, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.release.manifest import Canary
    from tests.support.agents import Result
    from tests.support.workers import Worker

pytestmark = pytest.mark.slow

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
) -> Iterator[TestShare]:
    """Releases with the right canary: `right`, rounded ones, and one of each wrong model."""
    root = tmp_path_factory.mktemp("wrong")
    made = TestShare(root / "share")
    canary = stores.canary_of(minilm_external_dir, name=NAME, repo=REPO, scratch=root / "cache")
    models.write_minilm_onnx(root / "models" / "int8", weights="int8")
    for name, write in wrong_models.EVERY.items():
        write(minilm_external_dir, root / "models" / name)
        release(made, name, root / "models" / name, canary)
    release(made, "right", minilm_external_dir, canary)
    release(made, "fp16", minilm_fp16_dir, canary)
    release(made, "int8-as-fp32", root / "models" / "int8", canary)
    release(made, "int8", root / "models" / "int8", replace(canary, min_cosine=0.99))
    yield made
    shutil.rmtree(root)


@pytest.fixture
def pod(share: TestShare, tmp_path: Path) -> Pod:
    """A pod on that share; its store is empty."""
    return Pod(tmp_path, share)


@pytest.fixture(scope="module")
def right(share: TestShare, tmp_path_factory: pytest.TempPathFactory) -> Pod:
    """A pod on that share in which `right` is active."""
    made = Pod(tmp_path_factory.mktemp("pod"), share)
    init(made, "right").ok()
    return made


def release(share: TestShare, name: str, source: Path, canary: Canary) -> None:
    stores.fastembed_release(share.root, name, source, name=NAME, repo=REPO, canary=canary, dim=384)


def init(pod: Pod, version: str) -> Result:
    """Run `init` with a warm-up once the marker names a release."""
    pod.share.mark(version)
    return pod.run("init", "--no-fallback", timeout=120)


def assert_refused(pod: Pod, name: str, words: list[str]) -> None:
    """`init` is exit 7 with these words and the remedy, and does not try it again by itself."""
    assert_failed(init(pod, name), 7, NAME, *words, REMEDY)
    assert words[0] in pod.state()["quarantined"][name]["reason"]


@pytest.mark.parametrize("name", EVERY)
def test_init_refuses_it(name: str, pod: Pod) -> None:
    """Exit 7, with the model, how far it is off and what to do; nothing is active."""
    assert_refused(pod, name, WORDS[name])
    assert pod.active() is None


@pytest.mark.parametrize("name", wrong_models.EVERY)
def test_what_was_active_stays_so(name: str, right: Pod) -> None:
    """It does not take the place of a good release."""
    assert_refused(right, name, WORDS[name])
    assert right.active() == "right"


@pytest.mark.parametrize("name", ["fp16", "int8"])
def test_rounded_weights_are_no_wrong_model(name: str, pod: Pod) -> None:
    """The same model in float16 passes even as fp32 would, in int8 with the room it is given."""
    done = init(pod, name)
    assert done.code == 0, done.lines
    assert pod.active() == name


def test_int8_is_not_what_fp32_would_be(pod: Pod) -> None:
    """Int8 weights under a manifest that was made of fp32 ones are not the model it speaks of."""
    assert_refused(pod, "int8-as-fp32", ["cosine 0.99", "at least 0.999"])


def test_a_provider_s_bug_shows_in_long_texts_only(
    minilm_external_dir: Path, tmp_path: Path
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
def serving(share: TestShare, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker that serves `right`; its store is the share itself."""
    stores.activate(share.root, "right")
    log = tmp_path_factory.mktemp("worker") / "log"
    with worker(share.root, model=NAME, log=log) as running:
        running.wait("ready", "right")
        yield running


@pytest.mark.parametrize("name", wrong_models.EVERY)
def test_the_worker_refuses_it(name: str, share: TestShare, serving: Worker) -> None:
    """Asked to reload to it, the worker says why it does not, and serves the right one on."""
    serving.reload(share.manifest(name))
    model = serving.wait("failed", name)
    assert model["version"] == "right"
    assert [word for word in [NAME, *WORDS[name]] if word not in model["reason"]] == []
    assert serving.embed("campus map").headers["X-Model-Version"] == "right"


def test_the_sidecar_refuses_it(pod: Pod) -> None:
    """It is quarantined, and the worker never hears of it."""
    init(pod, "right").ok()
    with scripted(obey) as asked, pod.sidecar(asked.url) as sidecar:
        asked.serve("right", pod.share.manifest("right").digest)
        pod.share.mark("cls-pooling")
        sidecar.look_now()
        event = sidecar.wait_for("release.quarantined", version="cls-pooling")
        assert "fails its canary" in event["reason"]
        looks = asked.looks
        sidecar.look_now()
        until(lambda: asked.looks > looks + 1)  # it has decided again since
        assert "cls-pooling" not in {request["version"] for request in asked.asked}
        assert sidecar.status()["quarantined"]["cls-pooling"]["reason"] == event["reason"]
        assert sidecar.get("/readyz").status_code == 200
    assert pod.active() == "right"


def publish(share: TestShare, name: str, site: Pod) -> Result:
    """Publish the files of a release of `share` on another one, as if they were found in a tree."""
    tree = site.root / f"tree-{name}"
    shutil.copytree(share.release(name) / layout.FASTEMBED, tree / layout.FASTEMBED)
    return site.publish_tree(name, tree, timeout=120)


@pytest.mark.parametrize(("name", "minimum"), [("right", 0.999), ("fp16", 0.99), ("int8", 0.99)])
def test_publish_makes_the_canary_that_fits(
    name: str, minimum: float, share: TestShare, tmp_path: Path
) -> None:
    """Rounded weights get a wider tolerance than others, and the release passes its own warm-up."""
    site = Pod(tmp_path)
    assert publish(share, name, site).code == 0
    (model,) = site.share.manifest(name).models
    assert model.canary is not None
    assert model.canary.min_cosine == minimum
    assert init(site, name).code == 0


def test_publish_refuses_what_is_no_number(share: TestShare, tmp_path: Path) -> None:
    """A model that gives NaN for one text is no release: exit 7, nothing on the share."""
    site = Pod(tmp_path)
    assert_failed(publish(share, "nan", site), 7, "zero or not finite")
    assert not list(site.share.root.glob("releases/*"))
