"""0.1.0, as it runs out there, beside today's: on one share, on one store, in one pod."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.compatibility import old, sources
from tests.compatibility.pods import Pod
from tests.support import agents
from tests.support.keys import make_key
from tests.support.workers import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.agents import Result
    from tests.support.keys import Key

REASON = old.why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]
PROGRAMS = {"today": agents.PROGRAM, "0.1.0": old.AGENT}
TEXTS = ["A man is eating food.", "The sky is blue."]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    """The operators' key."""
    return make_key(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Path:
    """A share as today's agent fills it: v1, which its marker names, and v2, which is signed."""
    pod = Pod(tmp_path_factory.mktemp("published"))
    pod.run("publish", "--from", sources.write(pod.root / "v1"), "--version", "v1")
    tree = sources.write(pod.root / "v2", weights="external")
    pod.run("publish", "--from", tree, "--version", "v2", "--sign-key", key.private)
    pod.run("promote", "v1")
    return pod.share


@pytest.fixture
def pod(published: Path, tmp_path: Path) -> Pod:
    """Today's pod with a copy of that share, and an empty store."""
    shutil.copytree(published, tmp_path / "share")
    return Pod(tmp_path)


def assert_nothing_came(done: Result) -> None:
    """The store had all that was wanted."""
    assert done.named("release.verified")
    assert not done.named("release.staged")


def test_it_is_0_1_0_that_runs(pod: Pod) -> None:
    """What is imported is what was installed, and none of this checkout."""
    assert old.imported().is_relative_to(old.HOME)
    first = pod.as_seen_by(old.AGENT)
    assert first.run("--version").stdout.strip() == "model-agent, version 0.1.0"


@pytest.mark.parametrize(
    ("init", "sidecar", "worker"),
    [("today", "today", "0.1.0"), ("0.1.0", "0.1.0", "today"), ("today", "0.1.0", "0.1.0")],
)
def test_a_bump(init: str, sidecar: str, worker: str, pod: Pod) -> None:
    """Whoever filled the store, either worker loads it, and either sidecar has it reload.

    Afterwards either agent starts on that store as it is.
    """
    pod.as_seen_by(PROGRAMS[init]).run("init")
    follower = pod.as_seen_by(PROGRAMS[sidecar])
    with pod.worker(first=worker == "0.1.0") as running:
        running.wait("ready", "v1")
        with follower.sidecar(running.admin) as following:
            pod.run("promote", "v2")
            following.look_now()
            following.wait_for("sync.done", version="v2")
        answer = running.embed(*TEXTS)
        assert answer.status_code == 200
        assert answer.headers["X-Model-Version"] == "v2"
    for program in PROGRAMS.values():
        assert_nothing_came(pod.as_seen_by(program).run("init", "--no-warm"))
    assert pod.active == "v2"
    assert (pod.state["previous"], pod.state["quarantined"]) == ("v1", {})


def test_markers_mean_the_same(pod: Pod) -> None:
    """0.1.0 reads a marker of today's, goes on with its chain, and today's agent with that."""
    first = pod.as_seen_by(old.AGENT)
    pod.run("promote", "v2")
    share = first.status()["share"]
    assert (share["marker"], share["previous"]) == ("v2", ["v1"])
    first.run("promote", "v1")
    share = pod.status()["share"]
    assert (share["marker"], share["previous"]) == ("v1", ["v2"])
    pod.run("rollback")
    assert first.status()["share"]["marker"] == "v2"


def test_a_signature_and_a_bundle(pod: Pod, key: Key) -> None:
    """0.1.0 finds today's signature right, publishes today's bundle, and knows the release."""
    first = pod.as_seen_by(old.AGENT)
    bundle = pod.root / "bundle"
    tree = sources.write(pod.root / "tree", weights="external")
    pod.run("publish", "--from", tree, "--version", "v2", "--bundle", bundle)
    said = first.run("publish", "--from", bundle).stdout
    assert said.startswith("Already published: v2")
    pod.run("promote", "v2")
    first.run("init", "--no-warm", "--no-fallback", *key.requiring)
    assert pod.active == "v2"


@pytest.mark.parametrize(("killed", "next_one"), [("today", "0.1.0"), ("0.1.0", "today")])
def test_a_killed_publisher(killed: str, next_one: str, pod: Pod) -> None:
    """A publisher of either kind sees that the other's was killed, and takes its lock at once."""
    tree = sources.write(pod.root / "tree")
    command = ("publish", "--from", tree, "--version", "v4")
    first, second = (pod.as_seen_by(PROGRAMS[name]) for name in (killed, next_one))
    with agents.start(*command, env=first.environment, program=first.program) as publisher:
        until(lambda: list(pod.share.glob(".staging/v4-*/**/model.onnx")))
        publisher.kill()
        publisher.communicate()
    done = second.run(*command, "--lock-timeout", "10s")
    assert done.named("lock.broken")
    assert not (pod.share / ".staging").exists()
    assert not (pod.share / ".locks").exists()
    assert first.run("verify", "v4", "--on", "share").stdout.startswith("v4 on the share")
