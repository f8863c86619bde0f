"""Two real models of one name and one dimension: a bump from one to the other is no accident."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from agent.release import space
from tests.support import agents, models, wrong_models
from tests.support.cluster import AgentFailedError, Cluster
from tests.support.scripted import obey, scripted
from tests.support.traffic import Traffic
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.agents import Result

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# A marker as it is written by hand.
BUMP = "v2\n# previous: v1\n"
FROM_BEFORE = "v2 embeds into another space than v1"


@pytest.fixture(scope="module")
def releases(minilm_external_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A share with v1, the MiniLM, and v2, its first three layers: both embed, each for itself."""
    cluster = Cluster(tmp_path_factory.mktemp("spaces"))

    def copy(to: Path) -> None:
        shutil.copytree(minilm_external_dir, to)

    cluster.publish("v1", copy)
    cluster.publish("v2", lambda to: wrong_models.half_the_layers(minilm_external_dir, to))
    yield cluster.share
    shutil.rmtree(cluster.root)


@pytest.fixture
def fresh(releases: Path, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster whose share has both and names v1, and a pod that is new: its store is empty."""
    made = Cluster(tmp_path)
    shutil.rmtree(made.share)
    shutil.copytree(releases, made.share, copy_function=shutil.copyfile)
    (made.share / "VERSION").write_text("v1\n")
    yield made
    shutil.rmtree(made.share)


@pytest.fixture
def cluster(fresh: Cluster) -> Cluster:
    """A cluster whose pod has v1 active."""
    fresh.agent("init")
    return fresh


def run(cluster: Cluster, *args: str, **env: str) -> Result:
    """Run an agent of the cluster, whichever way it ends."""
    return agents.run(*args, env=cluster.environment() | env, timeout=120)


def compared(lines: list[str]) -> list[float]:
    """The cosines of the one model, text by text, as people are shown them."""
    at = next(n for n, line in enumerate(lines) if "agrees to a cosine of" in line)
    rows = [line.split(maxsplit=1) for line in lines[at + 1 : at + 7]]
    assert [text for _, text in rows] == [space.shown(text) for text in space.CANARY_TEXTS]
    return [float(number) for number, _ in rows]


def test_from_end_to_end(cluster: Cluster) -> None:
    """Refused by `promote` and by the sidecar, served once it is allowed; no request fails."""
    with pytest.raises(AgentFailedError, match="another space") as refused:
        cluster.agent("promote", "v2")
    assert refused.value.code == 9
    with cluster.worker() as worker, cluster.sidecar(worker.admin) as sidecar:
        worker.wait("ready", "v1")
        traffic = Traffic(worker.serving)
        traffic.start()
        (cluster.share / "VERSION").write_text(BUMP)
        sidecar.look_now()
        event = sidecar.wait_for("release.quarantined", version="v2")
        assert FROM_BEFORE in event["reason"]
        assert sidecar.status()["quarantined"]["v2"]["reason"] == event["reason"]
        traffic.wait_for("v1")
        assert set(traffic.by_release) == {"v1"}
        assert cluster.active() == "v1"
        cluster.agent("promote", "v2", "--allow-new-space")
        sidecar.look_now()
        sidecar.wait_for("sync.done", version="v2")
        traffic.wait_for("v2")
        traffic.stop()
        assert traffic.failures == []
        assert set(traffic.by_release) == {"v1", "v2"}
        assert (worker.model()["version"], worker.model()["state"]) == ("v2", "ready")
    assert cluster.active() == "v2"
    assert cluster.state()["quarantined"] == {}
    seen: Any = json.loads(cluster.agent("status", "--json"))["space"]
    assert (seen["old"], seen["new"]) == ("v1", "v2")


def test_a_refused_promotion_shows_the_distance(cluster: Cluster) -> None:
    """Exit 9, after the cosine of each text; the marker stays as it is, to the byte."""
    done = run(cluster, "promote", "v2")
    assert done.code == 9, done.lines
    assert FROM_BEFORE in done.sentence
    assert "--allow-new-space" in done.sentence
    lines = done.stdout.splitlines()
    assert lines[0] == "v2 beside v1:"
    assert f"{min(compared(lines)):.3f}" in done.sentence
    assert (cluster.share / "VERSION").read_text() == "v1\n"


def test_how_far_they_are_apart_is_shown(cluster: Cluster) -> None:
    """`promote` and `status` show the same text by text, for people and for programs."""
    promoted = run(cluster, "promote", "v2", "--allow-new-space").stdout.splitlines()
    assert promoted[1].startswith(f"{models.MINILM} (fastembed) agrees to a cosine of 0.")
    cosines = compared(promoted)
    assert all(-1 <= cosine < 0.99 for cosine in cosines)
    lines = cluster.agent("status").splitlines()
    assert "v2 beside v1" in next(line for line in lines if line.startswith("space"))
    assert compared(lines) == cosines
    seen: Any = json.loads(cluster.agent("status", "--json"))["space"]
    assert (seen["old"], seen["new"]) == ("v1", "v2")
    (model,) = seen["models"]
    assert list(model["cosines"]) == list(space.CANARY_TEXTS)
    assert [round(cosine, 4) for cosine in model["cosines"].values()] == cosines


def test_a_new_pod_comes_up_on_the_release_before(fresh: Cluster) -> None:
    """Its store is empty: `# previous:` says which space stored vectors are of, and what to use."""
    (fresh.share / "VERSION").write_text(BUMP)
    refused = run(fresh, "init", "--no-fallback")
    assert refused.code == 9, refused.lines
    assert FROM_BEFORE in refused.sentence
    assert "--allow-new-space" in refused.sentence
    assert not (fresh.store / "current").exists()
    assert run(fresh, "init").code == 0
    assert fresh.active() == "v1"


def test_a_pod_that_has_the_release_before(cluster: Cluster) -> None:
    """A pod that starts again into the bump falls back to what its store holds, and says so."""
    (cluster.share / "VERSION").write_text("v2\n")
    assert run(cluster, "init", "--no-fallback").code == 9
    assert cluster.active() == "v1"
    done = run(cluster, "init")
    assert (done.code, cluster.active()) == (0, "v1")
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
    flags: list[str], env: dict[str, str], comment: str, fresh: Cluster
) -> None:
    """By the flag, its variable or the marker; one is enough."""
    (fresh.share / "VERSION").write_text(BUMP + comment)
    done = run(fresh, "init", *flags, **env)
    assert done.code == 0, done.lines
    assert fresh.active() == "v2"


def test_a_sidecar_that_is_allowed_to(cluster: Cluster) -> None:
    """With `--allow-new-space` a plain marker is enough for the sidecar."""
    with scripted(obey) as worker, cluster.sidecar(worker.url, "--allow-new-space") as sidecar:
        worker.serve("v1", cluster.digest("v1"))
        (cluster.share / "VERSION").write_text(BUMP)
        sidecar.look_now()
        sidecar.wait_for("sync.done", version="v2")
        until(lambda: sidecar.status()["active"] == "v2" or None)
        assert sidecar.status()["quarantined"] == {}
    assert cluster.active() == "v2"
