"""A real SMB share, from publishing to a hot reload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.containers.remote_pod import Site, running
from tests.containers.required import required
from tests.containers.smb import smb_share
from tests.support.pods import Pod
from tests.support.shares import EXTERNAL, INLINE, tree
from tests.support.workers import until

if TYPE_CHECKING:
    from pathlib import Path

    import docker


def test_a_bump_arrives(
    docker_client: docker.DockerClient, images: dict[str, str], room: Path
) -> None:
    """`promote` writes records of one length: a client that keeps sizes for 30 s reads them."""
    operators, server = Pod(room), room / "server"
    server.mkdir()
    for version, kind in (("v1", INLINE), ("v2", EXTERNAL)):
        operators.publish_tree(version, tree(room / version, kind)).ok()
    operators.agent("promote", "v1")
    with required(), smb_share(operators.share.root, server) as mounted:
        assert (mounted / "VERSION").stat().st_size == 512
        with running(Site(docker_client, images, mounted)) as pod:
            assert pod.current() == pod.serves() == "v1"
            operators.agent("promote", "v2")
            until(lambda: pod.status()["desired"] == "v2", seconds=5)
            pod.wait_for("v2")
