"""Everything over REST, by real processes, once with each kind of credential."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import agents, models
from tests.support.certificates import make_certificate
from tests.support.cluster import running_sidecar
from tests.support.rest import Kind, rest_share
from tests.support.shares import EXTERNAL, INLINE, TestShare, tree
from tests.support.workers import worker

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "tls"),
    [
        ("key", False),
        ("token", True),
        ("sas", False),
        ("connection-string", True),
        ("key", True),
    ],
)
def test_publish_promote_init_sidecar_reload(kind: Kind, tls: bool, tmp_path: Path) -> None:
    """A release published over REST is served by a worker, and so is the one bumped to next."""
    certificate = make_certificate(tmp_path) if tls else None
    with rest_share(tmp_path / "root", certificate=certificate) as share:
        store = tmp_path / "store"
        store.mkdir()
        env = share.env(kind) | {"MODEL_AGENT_STORE": str(store)}

        def agent(*args: str | Path) -> agents.Result:
            done = agents.run(*args, env=env)
            assert done.code == 0, done.sentence
            return done

        for version, model in (("v1", INLINE), ("v2", EXTERNAL)):
            source = tree(tmp_path / version, model)
            agent("publish", "--from", source, "--version", version)
        agent("promote", "v1")
        agent("init")
        with (
            worker(store, model=models.MINILM, log=tmp_path / "worker.log") as serving,
            running_sidecar(agents.environment(env), serving.admin) as sidecar,
        ):
            serving.wait("ready", "v1")
            agent("promote", "v2")
            sidecar.look_now()
            sidecar.wait_for("sync.done", version="v2")
            assert serving.model()["version"] == "v2"
            assert serving.embed("hello").headers["X-Model-Version"] == "v2"
        assert (store / "current").readlink().name == "v2"


@pytest.mark.slow
def test_a_hand_made_share_is_adopted_and_then_published_to(tmp_path: Path) -> None:
    """A tree that was uploaded by hand works over REST as it is, also after the first release."""
    store = tmp_path / "store"
    store.mkdir()
    with rest_share(tmp_path / "root", fill=by_hand) as share:
        done = share.run("init", "--store", store)
        assert done.code == 0, done.sentence
        assert (store / "current").readlink().name == "unversioned"
        source = tree(tmp_path / "tree", EXTERNAL)
        assert share.run("publish", "--from", source, "--version", "v1").code == 0
        assert (share.disk.root / "ADOPTED").read_text() == "unversioned\n"
        assert share.run("promote", "v1").code == 0
        assert share.run("init", "--store", store).code == 0
        assert (store / "current").readlink().name == "v1"


def by_hand(disk: TestShare) -> None:
    """A tree as operators upload it, and nothing else."""
    (disk.root / "releases").rmdir()
    tree(disk.root)
