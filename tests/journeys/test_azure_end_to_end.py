"""Everything over REST, by real processes, once with each kind of credential."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.certificates import make_certificate
from tests.support.pods import Pod
from tests.support.rest import Kind, rest_share
from tests.support.shares import EXTERNAL, INLINE, TestShare, tree

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
    ],
)
def test_publish_promote_init_sidecar_reload(kind: Kind, tls: bool, tmp_path: Path) -> None:
    """A release published over REST is served by a worker, and so is the one bumped to next."""
    certificate = make_certificate(tmp_path) if tls else None
    with rest_share(tmp_path / "root", certificate=certificate) as share:
        pod = Pod(tmp_path, share.disk, env=share.env(kind))
        for version, model in (("v1", INLINE), ("v2", EXTERNAL)):
            pod.publish_tree(version, tree(tmp_path / version, model)).ok()
        pod.agent("promote", "v1")
        pod.agent("init")
        with pod.worker() as serving, pod.sidecar(serving.admin) as sidecar:
            serving.wait("ready", "v1")
            pod.agent("promote", "v2")
            sidecar.look_now()
            sidecar.wait_for("sync.done", version="v2")
            assert serving.model()["version"] == "v2"
            assert serving.embed("hello").headers["X-Model-Version"] == "v2"
        assert pod.active() == "v2"


@pytest.mark.slow
def test_a_hand_made_share_is_adopted_and_then_published_to(tmp_path: Path) -> None:
    """A tree that was uploaded by hand works over REST as it is, also after the first release."""
    with rest_share(tmp_path / "root", fill=by_hand) as share:
        pod = Pod(tmp_path, share.disk, env=share.env())
        pod.agent("init")
        assert pod.active() == "unversioned"
        assert pod.publish_tree("v1", tree(tmp_path / "tree", EXTERNAL)).code == 0
        assert (share.disk.root / "ADOPTED").read_text() == "unversioned\n"
        assert pod.run("promote", "v1").code == 0
        assert pod.run("init").code == 0
        assert pod.active() == "v1"


def by_hand(disk: TestShare) -> None:
    """A tree as operators upload it, and nothing else."""
    (disk.root / "releases").rmdir()
    tree(disk.root)
