"""Two real models of one name and one dimension: a bump from one to the other is no accident."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from agent import space
from tests.support import agents, models, wrong_models
from tests.support.cluster import AgentFailedError, Cluster
from tests.support.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


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
def cluster(releases: Path, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster whose share has both, and whose store has v1 active."""
    made = Cluster(tmp_path)
    shutil.rmtree(made.share)
    shutil.copytree(releases, made.share, copy_function=shutil.copyfile)
    made.agent("promote", "v1")
    made.agent("init")
    yield made
    shutil.rmtree(made.share)


def test_from_end_to_end(cluster: Cluster) -> None:
    """Refused by `promote` and by the sidecar, served once it is allowed; no request fails."""
    with pytest.raises(AgentFailedError, match="another space") as refused:
        cluster.agent("promote", "v2")
    assert refused.value.code == 9
    with cluster.worker() as worker, cluster.sidecar(worker.admin) as sidecar:
        worker.wait("ready", "v1")
        traffic = Traffic(worker.serving)
        traffic.start()
        (cluster.share / "VERSION").write_text("v2\n# previous: v1\n")
        sidecar.look_now()
        event = sidecar.wait_for("release.quarantined", version="v2")
        assert "v2 embeds into another space than v1" in event["reason"]
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
    assert cluster.active() == "v2"


def test_how_far_they_are_apart_is_shown(cluster: Cluster) -> None:
    """`promote` and `status` show it text by text, for people and for programs."""
    shown = agents.run(
        "promote", "v2", "--allow-new-space", env=cluster.environment()
    ).stdout.splitlines()
    assert shown[0] == "v2 beside v1:"
    assert shown[1].startswith(f"{models.MINILM} (fastembed) agrees to a cosine of 0.")
    cosines = [float(line.split()[0]) for line in shown[2:8]]
    assert all(-1 <= cosine < 0.99 for cosine in cosines)
    assert "'A man is eating food.'" in shown[2]
    status = cluster.agent("status").splitlines()
    assert "v2 beside v1" in next(line for line in status if line.startswith("space"))
    compared = json.loads(cluster.agent("status", "--json"))["space"]
    assert (compared["old"], compared["new"]) == ("v1", "v2")
    (model,) = compared["models"]
    assert list(model["cosines"]) == list(space.CANARY_TEXTS)
    assert [round(cosine, 4) for cosine in model["cosines"].values()] == cosines


def test_a_pod_that_starts_into_it(cluster: Cluster) -> None:
    """`init` exits 9, or falls back; the marker or the flag allows it."""
    (cluster.share / "VERSION").write_text("v2\n# previous: v1\n")
    with pytest.raises(AgentFailedError, match="another space") as refused:
        cluster.agent("init", "--no-fallback")
    assert refused.value.code == 9
    done = agents.run("init", env=cluster.environment())
    assert (done.code, cluster.active()) == (0, "v1")
    assert len(done.named("init.fell_back")) == 1
    allowed = cluster.environment() | {"MODEL_AGENT_ALLOW_NEW_SPACE": "true"}
    assert agents.run("init", "--no-fallback", env=allowed).code == 0
    assert cluster.active() == "v2"
