"""Two real models of one name and one dimension: a bump from one to the other is no accident."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from agent.release import space
from tests.support import models, wrong_models
from tests.support.pods import Pod
from tests.support.scripted import obey, scripted
from tests.support.shares import tree
from tests.support.traffic import Traffic
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.slow

SECONDS = 120
# A marker as it is written by hand.
BUMP = "v2\n# previous: v1\n"
FROM_BEFORE = "v2 embeds into another space than v1"


@pytest.fixture(scope="module")
def releases(minilm_external_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A share with v1, the MiniLM, and v2, its first three layers: both embed, each for itself."""
    pod = Pod(tmp_path_factory.mktemp("spaces"))
    pod.seconds = SECONDS
    wrong_models.half_the_layers(minilm_external_dir, pod.root / "half")
    for version, files in (("v1", minilm_external_dir), ("v2", pod.root / "half")):
        pod.publish_tree(version, tree(pod.root / version, files)).ok()
    yield pod.share.root
    shutil.rmtree(pod.root)


@pytest.fixture
def fresh(releases: Path, tmp_path: Path) -> Iterator[Pod]:
    """A pod that is new: its share has both releases and names v1, its store is empty."""
    made = Pod(tmp_path)
    made.seconds = SECONDS
    made.share.fill_from(releases)
    made.share.mark("v1")
    yield made
    shutil.rmtree(made.share.root)


@pytest.fixture
def pod(fresh: Pod) -> Pod:
    """A pod that has v1 active."""
    fresh.run("init").ok()
    return fresh


def compared(lines: list[str]) -> list[float]:
    """The cosines of the one model, text by text, as people are shown them."""
    at = next(n for n, line in enumerate(lines) if "agrees to a cosine of" in line)
    rows = [line.split(maxsplit=1) for line in lines[at + 1 : at + 7]]
    assert [text for _, text in rows] == [space.shown(text) for text in space.CANARY_TEXTS]
    return [float(number) for number, _ in rows]


def test_from_end_to_end(pod: Pod) -> None:
    """Refused by `promote` and by the sidecar, served once it is allowed; no request fails."""
    refused = pod.run("promote", "v2")
    assert refused.code == 9
    assert "another space" in refused.sentence
    with pod.worker() as worker, pod.sidecar(worker.admin) as sidecar:
        worker.wait("ready", "v1")
        traffic = Traffic(worker.serving)
        traffic.start()
        (pod.share.root / "VERSION").write_text(BUMP)
        sidecar.look_now()
        event = sidecar.wait_for("release.quarantined", version="v2")
        assert FROM_BEFORE in event["reason"]
        assert sidecar.status()["quarantined"]["v2"]["reason"] == event["reason"]
        traffic.wait_for("v1")
        assert set(traffic.by_release) == {"v1"}
        assert pod.active() == "v1"
        pod.agent("promote", "v2", "--allow-new-space")
        sidecar.look_now()
        sidecar.wait_for("sync.done", version="v2")
        traffic.wait_for("v2")
        traffic.stop()
        assert traffic.failures == []
        assert set(traffic.by_release) == {"v1", "v2"}
        assert (worker.model()["version"], worker.model()["state"]) == ("v2", "ready")
    assert pod.active() == "v2"
    assert pod.state()["quarantined"] == {}
    seen: Any = json.loads(pod.agent("status", "--json"))["space"]
    assert (seen["old"], seen["new"]) == ("v1", "v2")


def test_a_refused_promotion_shows_the_distance(pod: Pod) -> None:
    """Exit 9, after the cosine of each text; the marker stays as it is, to the byte."""
    done = pod.run("promote", "v2")
    assert done.code == 9, done.lines
    assert FROM_BEFORE in done.sentence
    assert "--allow-new-space" in done.sentence
    lines = done.stdout.splitlines()
    assert lines[0] == "v2 beside v1:"
    assert f"{min(compared(lines)):.3f}" in done.sentence
    assert (pod.share.root / "VERSION").read_text() == "v1\n"


def test_how_far_they_are_apart_is_shown(pod: Pod) -> None:
    """`promote` and `status` show the same text by text, for people and for programs."""
    promoted = pod.run("promote", "v2", "--allow-new-space").stdout.splitlines()
    assert promoted[1].startswith(f"{models.MINILM} (fastembed) agrees to a cosine of 0.")
    cosines = compared(promoted)
    assert all(-1 <= cosine < 0.99 for cosine in cosines)
    lines = pod.agent("status").splitlines()
    assert "v2 beside v1" in next(line for line in lines if line.startswith("space"))
    assert compared(lines) == cosines
    seen: Any = json.loads(pod.agent("status", "--json"))["space"]
    assert (seen["old"], seen["new"]) == ("v1", "v2")
    (model,) = seen["models"]
    assert list(model["cosines"]) == list(space.CANARY_TEXTS)
    assert [round(cosine, 4) for cosine in model["cosines"].values()] == cosines


def test_a_new_pod_comes_up_on_the_release_before(fresh: Pod) -> None:
    """Its store is empty: `# previous:` says which space stored vectors are of, and what to use."""
    (fresh.share.root / "VERSION").write_text(BUMP)
    refused = fresh.run("init", "--no-fallback")
    assert refused.code == 9, refused.lines
    assert FROM_BEFORE in refused.sentence
    assert "--allow-new-space" in refused.sentence
    assert not (fresh.store / "current").exists()
    assert fresh.run("init").code == 0
    assert fresh.active() == "v1"


def test_a_pod_that_has_the_release_before(pod: Pod) -> None:
    """A pod that starts again into the bump falls back to what its store holds, and says so."""
    (pod.share.root / "VERSION").write_text("v2\n")
    assert pod.run("init", "--no-fallback").code == 9
    assert pod.active() == "v1"
    done = pod.run("init")
    assert (done.code, pod.active()) == (0, "v1")
    (event,) = done.named("init.fell_back")
    assert (event["active"], event["desired"]) == ("v1", "v2")


@pytest.mark.parametrize(
    ("flags", "env", "comment"),
    [
        pytest.param(["--allow-new-space"], {}, "", id="flag"),
        pytest.param([], {"MODEL_AGENT_ALLOW_NEW_SPACE": "true"}, "", id="variable"),
        pytest.param([], {}, "# allow-new-space\n", id="marker"),
    ],
)
def test_a_new_pod_that_is_allowed_to(
    flags: list[str], env: dict[str, str], comment: str, fresh: Pod
) -> None:
    """By the flag, its variable or the marker; one is enough."""
    (fresh.share.root / "VERSION").write_text(BUMP + comment)
    done = fresh.run("init", *flags, env=env)
    assert done.code == 0, done.lines
    assert fresh.active() == "v2"


def test_a_sidecar_that_is_allowed_to(pod: Pod) -> None:
    """With `--allow-new-space` a plain marker is enough for the sidecar."""
    with scripted(obey) as worker, pod.sidecar(worker.url, "--allow-new-space") as sidecar:
        worker.serve("v1", pod.share.manifest("v1").digest)
        (pod.share.root / "VERSION").write_text(BUMP)
        sidecar.look_now()
        sidecar.wait_for("sync.done", version="v2")
        until(lambda: sidecar.status()["active"] == "v2" or None)
        assert sidecar.status()["quarantined"] == {}
    assert pod.active() == "v2"
