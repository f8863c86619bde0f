"""A real SMB share, from publishing to a hot reload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.containers.remote_pod import Site, running
from tests.containers.required import required
from tests.containers.smb import smb_share
from tests.support import agents
from tests.support.shares import EXTERNAL, INLINE, TestShare, Tiny, tree
from tests.support.workers import until

if TYPE_CHECKING:
    from pathlib import Path

    import docker


class Desk:
    """An operator's, where the share is served from a directory."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.share = TestShare(room / "share")

    def publish(self, version: str, kind: Tiny) -> None:
        """Publish a release."""
        source = tree(self.room / version, kind)
        self._run("publish", "--from", source, "--version", version)

    def promote(self, version: str) -> None:
        """Have every pod serve it."""
        self._run("promote", version)

    def _run(self, *command: str | Path) -> None:
        flags = ("--share", self.share.root, "--catalog", self.share.catalog)
        done = agents.run(*command, *flags)
        assert done.code == 0, done.sentence


def test_a_bump_arrives(
    docker_client: docker.DockerClient, images: dict[str, str], room: Path
) -> None:
    """`promote` writes records of one length: a client that keeps sizes for 30 s reads them."""
    desk, server = Desk(room), room / "server"
    server.mkdir()
    desk.publish("v1", INLINE)
    desk.publish("v2", EXTERNAL)
    desk.promote("v1")
    with required(), smb_share(desk.share.root, server) as mounted:
        assert (mounted / "VERSION").stat().st_size == 512
        with running(Site(docker_client, images, mounted)) as pod:
            assert pod.current() == pod.serves() == "v1"
            desk.promote("v2")
            until(lambda: pod.status()["desired"] == "v2", seconds=5)
            pod.wait_for("v2")
