"""A share that is far away, slow, sick or dead: a mount with the caches of SMB, and containers."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from tests.containers.mounting import Mount, remote
from tests.containers.remote import EIO, ESTALE, HANG, Fault
from tests.containers.remote_pod import Pod, Site, running
from tests.containers.required import required
from tests.support.shares import EXTERNAL, HALF, TestShare
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import docker

# What is wrong, and what the agent says of it. `SLOW` reads are too far apart for two to be sure.
SLOW: Final = (Fault(seconds=0.3), "reading it twice took too long to be sure")
SICK: Final = (EIO, "VERSION on the share /share: Input/output error")
STALE: Final = (ESTALE, "VERSION on the share /share: Stale file handle")
DEAD: Final = (HANG, "The share /share did not answer within 10 s")
# The root answers: an engine, as a kubelet, starts no container on a mount where it does not.
INITIAL: Final = pytest.mark.parametrize(
    "trouble",
    [(replace(fault, paths="?*"), reason) for fault, reason in (SICK, DEAD, SLOW)],
    ids=["sick", "dead", "slow"],
)


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> TestShare:
    """The share's own side: it has v1 and v2, and v1 is promoted."""
    made = TestShare(tmp_path_factory.mktemp("server") / "share")
    made.add("v1")
    made.add("v2", EXTERNAL)
    made.mark("v1")
    return made


@pytest.fixture(scope="module")
def mount(share: TestShare, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    """Its mount."""
    with required(), remote(share.root, tmp_path_factory.mktemp("client")) as made:
        yield made


@pytest.fixture(scope="module")
def site(docker_client: docker.DockerClient, images: dict[str, str], mount: Mount) -> Site:
    """Where containers are given that mount."""
    return Site(docker_client, images, mount.path)


@pytest.fixture(scope="module")
def pod(site: Site) -> Iterator[Pod]:
    """A pod that runs there."""
    with running(site) as made:
        yield made


def bump(share: TestShare, pod: Pod) -> str:
    """Promote another release, on the share's own side; give its version."""
    wanted = "v2" if pod.current() == "v1" else "v1"
    share.mark(wanted, f"previous: {pod.current()}")
    return wanted


def test_what_the_mount_keeps(tmp_path: Path) -> None:
    """The tests' own mount: `stat` and names are old, an open and what it reads are not."""
    source, room = tmp_path / "source", tmp_path / "room"
    for directory in (source, room):
        directory.mkdir()
    (source / "VERSION").write_text("v1\n")
    with required(), remote(source, room) as mounted:
        marker, missing = mounted.path / "VERSION", mounted.path / "missing"
        before = marker.stat()
        assert not missing.exists()
        (source / "new").write_text("v2, and longer\n")
        (source / "new").rename(source / "VERSION")
        (source / "missing").touch()
        assert marker.read_text() == "v2, and longer\n"
        assert marker.stat() == before
        assert not missing.exists()
        until(missing.exists)


def test_a_bump_is_read_fresh(share: TestShare, pod: Pod) -> None:
    """No event tells of it and the mount's `stat` is old, and yet the next poll has it."""
    wanted = bump(share, pod)
    until(lambda: pod.status()["desired"] == wanted, seconds=5)
    pod.wait_for(wanted)


def test_a_release_that_was_missing_is_found(share: TestShare, pod: Pod, tmp_path: Path) -> None:
    """The mount remembers that it was not there; the agent asks again until it is."""
    aside = TestShare(tmp_path / "aside")
    aside.add("v3", HALF)
    share.mark("v3")
    until(lambda: "v3 is missing" in (pod.status()["last_error"] or ""))
    aside.release("v3").rename(share.release("v3"))
    pod.wait_for("v3")


@pytest.mark.parametrize(
    ("fault", "reason"), [SICK, STALE, DEAD, SLOW], ids=["sick", "stale", "dead", "slow"]
)
def test_a_sidecar_outlives_it(
    fault: Fault, reason: str, share: TestShare, mount: Mount, pod: Pod
) -> None:
    """It stays up and says what is wrong, the worker serves on, and the bump arrives afterwards."""
    before = pod.current()
    with mount.fault(fault):
        wanted = bump(share, pod)
        shown = reason.replace("/share", "…")  # /status names no path out of the store
        until(lambda: shown in str(pod.status()["share"]))
        assert pod.status()["share"]["reachable"] is (fault is SLOW[0])
        assert pod.get("/healthz").status_code == 200
        assert pod.get("/readyz").status_code == 200
        assert pod.current() == pod.serves() == before
    pod.wait_for(wanted)


@INITIAL
def test_init_starts_from_the_store(
    trouble: tuple[Fault, str], share: TestShare, mount: Mount, site: Site, pod: Pod
) -> None:
    """What keeps a bump from being read kills no pod that has good data, and is told."""
    fault, reason = trouble
    before = pod.current()
    with mount.fault(fault):
        wanted = bump(share, pod)
        done = site.init(pod.store)
    assert done.code == 0, done.said
    assert reason in done.errors
    assert f"{before} is active" in done.printed
    pod.wait_for(wanted)


def test_a_slow_share_is_asked_once_for_a_marker_that_is_known(
    mount: Mount, site: Site, pod: Pod
) -> None:
    """What one read says is what the store was made for, so that no second has to confirm it."""
    fault, reason = SLOW
    with mount.fault(replace(fault, paths="?*")):
        done = site.init(pod.store)
    assert done.code == 0, done.said
    assert reason not in done.errors
    assert f"{pod.current()} is active" in done.printed


@INITIAL
def test_init_has_nothing_to_start_from(
    trouble: tuple[Fault, str], mount: Mount, site: Site
) -> None:
    """It is given up in time, by exit code 3 and one sentence with its remedy."""
    fault, reason = trouble
    with site.store() as empty, mount.fault(fault):
        began = time.monotonic()
        done = site.init(empty)
    assert done.code == 3, done.said
    assert time.monotonic() - began < 30
    assert reason in done.sentence
    assert "Traceback" not in done.said
