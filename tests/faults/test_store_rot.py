"""Files of the active release that go bad in the store, behind the agent's back."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.faults.matrix import case
from tests.faults.serving import serving
from tests.support.pods import Pod
from tests.support.shares import flip, tree
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.serving import Serving

_OFTEN: Final = ("--reverify-interval", "2s")


def rot(path: Path) -> None:
    """Flip a bit under the file's size and times, as a disk does."""
    status = path.stat()
    flip(path, offset=status.st_size // 2)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def truncate(path: Path) -> None:
    """Cut the file in half."""
    os.truncate(path, path.stat().st_size // 2)


def link(path: Path) -> None:
    """Have another file beside it stand for it: the bytes are right, and the file is none."""
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def held(where: Path, version: str, name: str = "model.onnx") -> Path:
    """A file of a release on a share or in a store."""
    return next((where / "releases" / version).rglob(f"models--Qdrant--*/**/{name}"))


def loads(running: Serving, version: str) -> int:
    """How often the worker has loaded a release."""
    return running.worker.log.read_text().count(f"model.loaded version={version}")


def rounds(running: Serving) -> int:
    """How often all of a release was read again."""
    return [event["event"] for event in running.sidecar.events].count("release.reverified")


def unrepaired(running: Serving) -> dict[str, Any]:
    """Wait until a repair has failed; give what `/status` says of it."""

    def failed() -> dict[str, Any] | None:
        found: dict[str, Any] | None = running.sidecar.status()["rot"]
        return found if found and found["reason"] else None

    return until(failed)


def assert_repaired(running: Serving, version: str = "v1", *, count: int = 1) -> None:
    """Every byte is right again, the worker has loaded the release anew, and it is told so."""
    running.sidecar.wait_for("sync.repaired", version=version)
    running.settle(version)
    running.pod.agent("verify", version)
    until(lambda: running.sidecar.metric("model_agent_rotten_files") == 0)
    assert running.sidecar.metric("model_agent_repairs_total") == count
    status = running.sidecar.status()
    assert (status["rot"], status["outdated"]) == (None, None)
    assert loads(running, version) == 2


@pytest.mark.parametrize(
    ("harm", "name", "flags"),
    [
        pytest.param(rot, "model.onnx", _OFTEN, marks=case("store", "active file bit-flipped")),
        pytest.param(rot, "tokenizer.json", _OFTEN, marks=case("store", "active file bit-flipped")),
        pytest.param(truncate, "model.onnx", (), marks=case("store", "active file truncated")),
        pytest.param(os.unlink, "tokenizer.json", (), marks=case("store", "active file deleted")),
        pytest.param(link, "tokenizer.json", (), marks=case("store", "active file is a link")),
    ],
)
def test_a_bad_file_is_repaired(
    harm: Callable[[Path], None], name: str, flags: tuple[str, ...], pod: Pod
) -> None:
    """It is found in the background and replaced from the share; the worker loads it again."""
    with serving(pod, *flags) as running:
        running.settle("v1")
        bad = held(pod.store, "v1", name)
        before = bad.lstat().st_ino
        harm(bad)
        assert_repaired(running)
        assert bad.lstat().st_ino != before
        assert running.sidecar.metric("model_agent_verify_failures_total") == 1


@case("store", "active file bit-flipped while the share is away")
def test_rot_while_the_share_is_away(pod: Pod) -> None:
    """`/status` and `/metrics` show it, service goes on; the file is repaired once that can be."""
    away = pod.share.root.with_name("away")
    with serving(pod, *_OFTEN) as running:
        running.settle("v1")
        pod.share.root.rename(away)
        rot(held(pod.store, "v1"))
        assert "is not there" in unrepaired(running)["reason"]
        until(lambda: running.sidecar.metric("model_agent_rotten_files") == 1)
        running.assert_active("v1")
        away.rename(pod.share.root)
        running.sidecar.look_now()
        assert_repaired(running)


@case("store", "active file bit-flipped, and bad on the share too")
def test_rot_on_the_share_too(pod: Pod) -> None:
    """Nothing is replaced, `/status` and `/metrics` say so; a mended share mends the store."""
    on_share, in_store = held(pod.share.root, "v1"), held(pod.store, "v1")
    with serving(pod, *_OFTEN) as running:
        running.settle("v1")
        inode = in_store.stat().st_ino
        flip(on_share)
        rot(in_store)
        assert "is corrupt in chunk" in unrepaired(running)["reason"]
        until(lambda: running.sidecar.metric("model_agent_rotten_files") == 1)
        running.assert_active("v1")
        assert in_store.stat().st_ino == inode
        assert loads(running, "v1") == 1
        flip(on_share)
        running.sidecar.look_now()
        assert_repaired(running)


@case("store", "a file that two releases share bit-flipped")
def test_rot_that_two_releases_share(pod: Pod) -> None:
    """A repair puts right every release that has the bad file, and they share the new one."""
    with serving(pod, *_OFTEN) as running:
        running.mark("v2\n")
        running.settle("v2")
        shared = [held(pod.store, version, "tokenizer.json") for version in ("v1", "v2")]
        assert shared[0].samefile(shared[1])
        rot(shared[1])
        assert_repaired(running, "v2")
        assert shared[0].samefile(shared[1])
        pod.agent("verify", "v1")


@case("store", "a bump while an active file is bad")
def test_a_bump_over_rot(pod: Pod) -> None:
    """The new release gets right bytes, not the shared bad file; so does the old one, later."""
    name = "tokenizer.json"
    with serving(pod, *_OFTEN) as running:
        running.settle("v1")
        flip(held(pod.share.root, "v1", name))
        rot(held(pod.store, "v1", name))
        unrepaired(running)
        running.mark("v2\n")
        running.settle("v2")
        pod.agent("verify", "v2")
        assert running.sidecar.status()["rot"] is None
        flip(held(pod.share.root, "v1", name))
        running.mark("v1\n")
        running.settle("v1")
        pod.agent("verify", "v1")


@case("store", "back to a release that shares a bad file")
def test_back_over_rot(pod: Pod) -> None:
    """What is known to be bad is not gone back to, until the share has right bytes for it."""
    name = "tokenizer.json"
    on_share = [held(pod.share.root, version, name) for version in ("v1", "v2")]
    with serving(pod, *_OFTEN) as running:
        running.mark("v2\n")
        running.settle("v2")
        for path in on_share:
            flip(path)
        rot(held(pod.store, "v2", name))
        unrepaired(running)
        running.mark("v1\n")
        running.sidecar.wait_for("release.quarantined", version="v1")
        running.assert_active("v2")
        assert running.sidecar.metric("model_agent_reload_attempts_total") == 1
        for path in on_share:
            flip(path)
        running.mark("v1\n# promoted again\n")
        running.settle("v1")
        pod.agent("verify", "v1")


@case("store", "back to a release whose files were touched, and that the share has no more")
def test_back_to_touched_files(pod: Pod) -> None:
    """They are hashed where they lie, and served if they are right; nothing is fetched."""
    with serving(pod) as running:
        running.mark("v2\n")
        running.settle("v2")
        os.utime(held(pod.store, "v1"), ns=(1, 1))
        shutil.rmtree(pod.share.release("v1"))
        running.mark("v1\n")
        running.settle("v1")
        running.sidecar.wait_for("release.verified", version="v1")
        assert running.sidecar.status()["last_error"] is None


@case("store", "nothing wrong with the active release")
def test_nothing_rots(pod: Pod) -> None:
    """All of it is read again, `/status` and `/metrics` say when, and no reload is asked for."""
    with serving(pod, *_OFTEN) as running:
        running.settle("v1")
        until(lambda: rounds(running) > 1)
        until(lambda: running.sidecar.metric("model_agent_last_reverified_timestamp_seconds"))
        running.assert_active("v1")
        assert running.sidecar.status()["last_reverified"]
        assert running.sidecar.metric("model_agent_reload_attempts_total") == 0
        assert loads(running, "v1") == 1


@case("store", "active file of an adopted tree bit-flipped")
def test_rot_in_an_adopted_release(tmp_path: Path) -> None:
    """A tree that was made by hand repairs what was adopted from it."""
    adopted = Pod(tmp_path)
    tree(adopted.share.root)
    adopted.agent("init")
    with serving(adopted, *_OFTEN) as running:
        running.allowed = {"unversioned"}
        running.settle("unversioned")
        for name in ("model.onnx", "main"):
            rot(held(adopted.store, "unversioned", name))
        assert_repaired(running, "unversioned", count=2)
