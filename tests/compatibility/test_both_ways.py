"""0.1.0, as it runs out there, beside today's: on one share, on one store, in one pod."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.compatibility import old, sources
from tests.compatibility.pods import stand, status
from tests.compatibility.trees import HOME
from tests.support.keys import make_key
from tests.support.workers import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.agents import Result
    from tests.support.keys import Key
    from tests.support.pods import Pod

REASON = old.why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    """The operators' key."""
    return make_key(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Path:
    """A share as today's agent fills it: v1, which its marker names, and v2, which is signed."""
    pod = stand(tmp_path_factory.mktemp("published"))
    pod.publish_tree("v1", sources.write(pod.root / "v1")).ok()
    tree = sources.write(pod.root / "v2", weights="external")
    pod.publish_tree("v2", tree, "--sign-key", key.private).ok()
    pod.agent("promote", "v1")
    return pod.share.root


@pytest.fixture
def pod(published: Path, tmp_path: Path) -> Pod:
    """Today's pod with a copy of that share, and an empty store."""
    shutil.copytree(published, tmp_path / "share")
    return stand(tmp_path)


@pytest.fixture
def first(pod: Pod) -> Pod:
    """The same share and store, for 0.1.0's agent."""
    return stand(pod.root, first=True)


def assert_embedded(answer: dict[str, Any]) -> None:
    """An answer has the fields of 0.1.0's, and its vectors for the same texts."""
    before = json.loads((HOME / "worker" / "embeddings.json").read_bytes())
    assert answer.keys() == before.keys()
    assert (answer["model"], answer["usage"]) == (before["model"], before["usage"])
    for one, other in zip(answer["data"], before["data"], strict=True):
        assert one.keys() == other.keys()
        assert one["embedding"] == pytest.approx(other["embedding"], abs=1e-4)


def assert_nothing_came(done: Result) -> None:
    """The store had all that was wanted."""
    assert done.named("release.verified")
    assert not done.named("release.staged")


def test_it_is_0_1_0_that_runs(first: Pod) -> None:
    """What is imported is what was installed, and none of this checkout."""
    assert old.imported().is_relative_to(old.HOME)
    assert first.agent("--version") == "model-agent, version 0.1.0"


@pytest.mark.parametrize(
    ("init", "sidecar", "worker"),
    [("today", "today", "0.1.0"), ("0.1.0", "0.1.0", "today"), ("today", "0.1.0", "0.1.0")],
)
def test_a_bump(init: str, sidecar: str, worker: str, pod: Pod, first: Pod) -> None:
    """Whoever filled the store, either worker loads it, and either sidecar has it reload.

    Afterwards either agent starts on that store as it is.
    """
    agent = {"today": pod, "0.1.0": first}
    agent[init].agent("init")
    with pod.worker(**({"today": {}, "0.1.0": old.WORKER}[worker])) as running:
        running.wait("ready", "v1", seconds=60)
        with agent[sidecar].sidecar(running.admin) as following:
            pod.agent("promote", "v2")
            following.look_now()
            following.wait_for("sync.done", version="v2")
        answer = running.embed(*sources.TEXTS).raise_for_status()
    assert answer.headers["X-Model-Version"] == "v2"
    assert_embedded(answer.json())
    for each in agent.values():
        assert_nothing_came(each.init().ok())
    assert pod.active() == "v2"
    assert (pod.state()["previous"], pod.state()["quarantined"]) == ("v1", {})


def test_markers_mean_the_same(pod: Pod, first: Pod) -> None:
    """0.1.0 reads a marker of today's, goes on with its chain, and today's agent with that."""
    pod.agent("promote", "v2")
    share = status(first)["share"]
    assert (share["marker"], share["previous"]) == ("v2", ["v1"])
    first.agent("promote", "v1")
    share = status(pod)["share"]
    assert (share["marker"], share["previous"]) == ("v1", ["v2"])
    pod.agent("rollback")
    assert status(first)["share"]["marker"] == "v2"


def test_a_signature_and_a_bundle(pod: Pod, first: Pod, key: Key) -> None:
    """0.1.0 finds today's signature right, and knows the release in today's bundle."""
    tree, bundle = sources.write(pod.root / "tree", weights="external"), pod.root / "bundle"
    pod.publish_tree("v2", tree, "--bundle", bundle).ok()
    said = first.agent("publish", "--from", bundle)
    assert said.startswith("Already published: v2")
    pod.agent("promote", "v2")
    first.init("--no-fallback", *key.requiring).ok()
    assert pod.active() == "v2"


@pytest.mark.parametrize(("killed", "other"), [("today", "0.1.0"), ("0.1.0", "today")])
def test_a_killed_publisher(killed: str, other: str, pod: Pod, first: Pod) -> None:
    """A publisher of either kind sees that the other's was killed, and takes its lock at once."""
    agent = {"today": pod, "0.1.0": first}
    command = ("publish", "--from", sources.write(pod.root / "tree"), "--version", "v4")
    with agent[killed].start(*command) as publisher:
        until(lambda: list(pod.share.root.glob(".staging/v4-*/**/model.onnx")))
        publisher.kill()
        publisher.communicate()
    assert agent[other].run(*command, "--lock-timeout", "10s").ok().named("lock.broken")
    assert not (pod.share.root / ".staging").exists()
    assert not (pod.share.root / ".locks").exists()
    assert agent[killed].agent("verify", "v4", "--on", "share").startswith("v4 on the share")
